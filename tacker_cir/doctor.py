# SPDX-License-Identifier: Apache-2.0
"""Checks of a conductor's machine: will its tacker-conductor run our drivers?"""

from __future__ import annotations

import importlib.metadata
import os
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oslo_config import cfg

from tacker_cir import config

ENTRY_POINT_GROUP = "tacker.tacker.mgmt.drivers"
DISTRIBUTION = "tacker_cir"
KUBERNETES = "mgmt-drivers-kubernetes"


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
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.ListOpt("vnflcm_mgmt_driver", default=["vnflcm_noop"]), group="tacker")
    conf.register_opt(
        cfg.ListOpt("vim_drivers", default=["openstack", "kubernetes"]), group="nfvo_vim"
    )
    conf.register_opt(cfg.BoolOpt("use_barbican", default=True), group="k8s_vim")
    for name in ("user_domain_name", "project_domain_name"):
        conf.register_opt(cfg.StrOpt(name), group="keystone_authtoken")
    config.register_opts(conf)
    try:
        conf([], project="tacker", default_config_files=[str(file) for file in config_files])
        yield from _check_options(conf, [entry_point.name for entry_point in entry_points])
    except (cfg.Error, ValueError) as error:
        yield Check("configuration", f"{error}")


def _check_driver(entry_point: importlib.metadata.EntryPoint) -> Check:
    subject = f"driver {entry_point.name}"
    try:
        with warnings.catch_warnings():
            # Tacker's imports warn about eventlet, which is none of the operator's business here.
            warnings.simplefilter("ignore")
            driver = entry_point.load()()
    except Exception as error:  # whatever keeps it from loading here keeps it from loading there
        return Check(subject, f"cannot be loaded: {type(error).__name__}: {error}")
    if driver.get_type() != entry_point.name:
        return Check(subject, f"calls itself {driver.get_type()}; re-install tacker_cir")
    return Check(subject, detail="can be loaded")


def _check_options(conf: cfg.ConfigOpts, names: list[str]) -> Iterator[Check]:
    enabled = conf.tacker.vnflcm_mgmt_driver
    for name in names:
        subject = f"[tacker] vnflcm_mgmt_driver has {name}"
        if name in enabled:
            yield Check(subject)
        elif set(names) & set(enabled):
            yield Check(subject, detail="it does not: VNF packages that name it are refused")
        else:
            wanted = ",".join([*enabled, name])
            yield Check(subject, f"it does not; set vnflcm_mgmt_driver = {wanted}")
    if KUBERNETES in enabled:
        yield from _check_vims(conf)
    options = conf.tacker_cir
    if options.host_key_policy == "tofu":
        yield _check_state_path(Path(options.state_path))
    elif options.host_key_policy == "strict" and not Path(options.known_hosts).is_file():
        yield Check(
            "[tacker_cir] known_hosts",
            detail=f"{options.known_hosts} does not exist; keys must come from requests and stacks",
        )
    elif options.host_key_policy == "off":
        yield Check(
            "[tacker_cir] host_key_policy", "is off: anyone on the path can listen; use tofu"
        )


def _check_vims(conf: cfg.ConfigOpts) -> Iterator[Check]:
    """Check what Tacker needs to register a Kubernetes VIM (its kubernetes_driver and context)."""
    drivers = conf.nfvo_vim.vim_drivers
    wanted = ",".join([*drivers, "kubernetes"])
    yield Check(
        "[nfvo_vim] vim_drivers has kubernetes",
        None if "kubernetes" in drivers else f"it does not; set vim_drivers = {wanted}",
    )
    yield Check(
        "[k8s_vim] use_barbican",
        None
        if conf.k8s_vim.use_barbican
        else "is false; Tacker registers a Kubernetes VIM only with Barbican",
    )
    yield _check_client()
    for name in ("user_domain_name", "project_domain_name"):
        given = conf.keystone_authtoken[name]
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
