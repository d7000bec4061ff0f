# SPDX-License-Identifier: Apache-2.0
"""Checks of a conductor's machine: will its tacker-conductor run our drivers?"""

from __future__ import annotations

import importlib.metadata
import os
import stat
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from oslo_config import cfg

from tacker_cir.conductor_conf import ConductorConf
from tacker_cir.csar import CsarError, installed_driver
from tacker_cir.csar.sources import CLUSTER_DRIVER as KUBERNETES
from tacker_cir.csar.sources import DRIVER_GROUP as ENTRY_POINT_GROUP
from tacker_cir.params.schema import nearest

DISTRIBUTION = "tacker_cir"


@dataclass(frozen=True)
class Check:
    """Result of one check.

    :param subject: what was looked at
    :param fault: what is wrong and what to do; None if it is right
    :param detail: what was found, where it is right
    """

    subject: str
    fault: str | None = None
    detail: str = ""


def driver_entry_points() -> tuple[importlib.metadata.EntryPoint, ...]:
    """Return the MgmtDrivers that the installed package registers."""
    return tuple(
        importlib.metadata.distribution(DISTRIBUTION).entry_points.select(group=ENTRY_POINT_GROUP)
    )


def check_conductor(config_files: list[Path]) -> Iterator[Check]:
    """Check the drivers and the configuration that tacker-conductor is started with.

    :param config_files: as given to it with --config-file
    """
    entry_points = driver_entry_points()
    for entry_point in entry_points:
        yield _check_driver(entry_point)
    missing = [file for file in config_files if not file.is_file()]
    for file in missing:
        yield Check(
            f"configuration {file}", "no such file; name tacker-conductor's with --config-file"
        )
    if missing or not config_files:
        return
    try:
        conf = ConductorConf(config_files)
    except (cfg.Error, ValueError) as error:
        yield Check("configuration", f"{error}")
        return
    for subject, problem in conf.faults():
        yield Check(subject, problem)
    yield from _check_options(conf, [entry_point.name for entry_point in entry_points])


def _check_driver(entry_point: importlib.metadata.EntryPoint) -> Check:
    subject = f"driver {entry_point.name}"
    try:
        with warnings.catch_warnings():
            # Tacker's imports warn about eventlet, which is none of the operator's business here.
            warnings.simplefilter("ignore")
            driver = entry_point.load()()
    except Exception as error:  # whatever keeps it from loading here keeps it from loading there
        return Check(subject, f"cannot be loaded: {type(error).__name__}: {error}")
    try:
        installed_driver(entry_point.name)
    except CsarError as error:
        # Tacker takes all of them, and ends at its start.
        return Check(subject, str(error))
    if driver.get_type() != entry_point.name:
        return Check(subject, f"calls itself {driver.get_type()}; re-install tacker_cir")
    return Check(subject, detail="can be loaded")


def _check_options(conf: ConductorConf, names: list[str]) -> Iterator[Check]:
    enabled = conf.get("tacker", "vnflcm_mgmt_driver")
    if enabled is not None:
        wanted = _wanted(enabled, names)
        yield from _check_enabled(enabled, wanted, names)
        if KUBERNETES in wanted:
            yield from _check_vims(conf)
    policy = conf.get("tacker_cir", "host_key_policy")
    if policy == "tofu":
        yield _check_state_path(Path(conf.get("tacker_cir", "state_path")))
    elif policy == "strict" and not Path(conf.get("tacker_cir", "known_hosts")).is_file():
        known_hosts = conf.get("tacker_cir", "known_hosts")
        yield Check(
            "[tacker_cir] known_hosts",
            detail=f"{known_hosts} does not exist; keys must come from requests and stacks",
        )
    elif policy == "off":
        yield Check(
            "[tacker_cir] host_key_policy", "is off: anyone on the path can listen; use tofu"
        )


def _wanted(enabled: list[str], names: list[str]) -> list[str]:
    """Return the drivers that shall be enabled: with what is misspelt written rightly, and with
    ours if there is none of them."""
    installed = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP).names
    wanted = _corrected(enabled, names, installed)
    return wanted if set(names) & set(wanted) else wanted + names


def _check_enabled(enabled: list[str], wanted: list[str], names: list[str]) -> Iterator[Check]:
    """Check the one line that enables drivers, with one line to put in its place."""
    subject = "[tacker] vnflcm_mgmt_driver"
    if wanted != enabled:
        missing = ", ".join(name for name in wanted if name not in enabled)
        yield Check(subject, f"it lacks {missing}; set {_option(subject)} = {','.join(wanted)}")
        return
    for name in names:
        left_out = "it does not: VNF packages that name it are refused"
        yield Check(f"{subject} has {name}", detail="" if name in enabled else left_out)


def _corrected(given: list[str], names: list[str], known: Collection[str]) -> list[str]:
    """Return a list with what is misspelt in it written rightly, each name once."""
    found = [name if name in known else nearest(name, names) or name for name in given]
    return list(dict.fromkeys(found))


def _option(subject: str) -> str:
    return subject.rpartition(" ")[2]


def _check_vims(conf: ConductorConf) -> Iterator[Check]:
    """Check what Tacker needs to register a Kubernetes VIM (its kubernetes_driver and context)."""
    drivers = conf.get("nfvo_vim", "vim_drivers")
    if drivers is not None:
        wanted = _corrected(drivers, ["kubernetes"], ["openstack", "kubernetes"])
        wanted += [] if "kubernetes" in wanted else ["kubernetes"]
        problem = f"it does not; set vim_drivers = {','.join(wanted)}"
        yield Check(
            "[nfvo_vim] vim_drivers has kubernetes",
            None if "kubernetes" in drivers else problem,
        )
    if conf.get("k8s_vim", "use_barbican") is not None:
        problem = "is false; Tacker registers a Kubernetes VIM only with Barbican"
        yield Check(
            "[k8s_vim] use_barbican", None if conf.get("k8s_vim", "use_barbican") else problem
        )
    yield _check_client()
    for name in ("user_domain_name", "project_domain_name"):
        given = conf.get("keystone_authtoken", name)
        yield Check(
            f"[keystone_authtoken] {name}",
            None if given else "is not set; Tacker logs in to Barbican with it, never with the id",
        )


def _check_client() -> Check:
    """Check the Python client that Tacker asks clusters with, as Tacker makes it. Of the whole
    range that Tacker's requirements allow, Tacker 16 works with 36 only, and earlier ones with what
    was before it: 36 takes a token under another name, and under the old one sends it without the
    word Bearer; 37 refuses to make objects as Tacker makes them."""
    from kubernetes import client  # not where only the registry is used
    from tacker.common.container.kubernetes_utils import KubernetesHTTPAPI

    subject = "Python package kubernetes"
    login = {"auth_url": "https://192.0.2.1:6443", "bearer_token": "token"}
    settings = KubernetesHTTPAPI().get_k8s_client(login).configuration
    wanted = ">=36,<37" if "BearerToken" in settings.api_key else "<36"
    remedy = f"pip install 'kubernetes{wanted}'"
    if settings.auth_settings().get("BearerToken", {}).get("value") != "Bearer token":
        return Check(subject, f"sends no token for Tacker; {remedy}")
    try:
        client.V1ConfigMap(local_vars_configuration=settings)
    except Exception:
        return Check(subject, f"Tacker makes no CNF with it; {remedy}")
    return Check(subject, detail="suits Tacker")


def _check_state_path(path: Path) -> Check:
    subject = f"[tacker_cir] state_path {path}"
    existing = path
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Check(
            subject,
            f"this user cannot write to {existing}; run as tacker-conductor's user, or let that "
            "user own it",
        )
    mode = existing.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        return Check(subject, f"every user can put host keys there; chmod o-w {existing}")
    return Check(subject, detail="can be written by this user")
