# SPDX-License-Identifier: Apache-2.0
"""containerd's config.toml (containerd-config.toml(5)), beside whatever else stands there.

Its sections are named after plugins. Version 2 of the file names one plugin for all of CRI, as
containerd 1.x has it; version 3, since containerd 2.0, names one for images and one for the
runtime. containerd 2.x reads version 2 as well, so a file keeps the version that it has.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import tomli_w

from tacker_cir.documents import value_errors

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Where the network plugins of Kubernetes are, and where pod networks install theirs.
CNI_PLUGINS = "/opt/cni/bin"

# Names of plugins and of runc's shim.
CRI = "io.containerd.grpc.v1.cri"
IMAGES = "io.containerd.cri.v1.images"
RUNTIME = "io.containerd.cri.v1.runtime"
RUNC = "io.containerd.runc.v2"


@dataclass(frozen=True)
class Merged:
    """What :func:`merge` returns.

    :param text: the file as it shall be
    :param left_plugins: directories of network plugins that the file named and names no longer
    """

    text: str
    left_plugins: tuple[str, ...] = ()


@value_errors("has a value of another type than containerd reads")
def merge(
    text: str | None,
    *,
    major: int,
    certs_d: str,
    sandbox_image: str | None,
    systemd_cgroup: bool,
    default_runtime: tuple[str, str] = ("runc", RUNC),
    plugin_directories: Sequence[str] = (CNI_PLUGINS,),
) -> Merged:
    """Set what a node of Kubernetes needs and keep everything else.

    Where nothing changes, the text is returned as it is, so that containerd need not be restarted.

    :param text: the file as it is, None where there is none
    :param major: of containerd's version
    :param certs_d: directory of the registries' hosts.toml
    :param sandbox_image: image of a pod's first container; None for what is there or the default
    :param systemd_cgroup: whether systemd shall make the containers' cgroups
    :param default_runtime: name and type of the one in effect, where the file names none
    :param plugin_directories: where network plugins are looked for if the file does not say it
    :raises ValueError: the file cannot be completed; with what it has and what to do
    """
    document = _parse(text, major)
    before = deepcopy(document)
    disabled = document.get("disabled_plugins", [])
    enabled = [plugin for plugin in disabled if plugin not in ("cri", CRI, IMAGES, RUNTIME)]
    if enabled != disabled:
        document["disabled_plugins"] = enabled
    images, runtime = _sections(document)
    if sandbox_image is not None:
        if images is runtime:
            images["sandbox_image"] = sandbox_image
        else:
            _table(images, "pinned_images")["sandbox"] = sandbox_image
    _set_registry(_table(images, "registry"), certs_d)
    if systemd_cgroup:
        _set_systemd_cgroup(_table(runtime, "containerd"), default_runtime)
    left = _set_plugin_directory(runtime, plugin_directories)
    if document == before and text is not None:
        return Merged(text)
    return Merged(tomli_w.dumps(document), left)


@value_errors("has a value of another type than containerd reads")
def has_systemd_cgroup(text: str | None) -> bool:
    """Tell whether the file has systemd make the containers' cgroups.

    :raises ValueError: the file is not what containerd reads
    """
    document = _read(text)
    for plugin in (CRI, RUNTIME):
        value = document.get("plugins", {}).get(plugin, {})
        for key in ("containerd", "runtimes", "runc", "options", "SystemdCgroup"):
            value = value.get(key, {}) if isinstance(value, dict) else {}
        if value is True:
            return True
    return False


def _read(text: str | None) -> dict[str, Any]:
    try:
        return tomllib.loads(text or "")
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is not TOML: {error}") from None


def _parse(text: str | None, major: int) -> dict[str, Any]:
    document = _read(text)
    newest = 2 if major < 2 else 3
    version = document.get("version", 1 if document.get("plugins") else newest)
    if version not in (2, 3):
        raise ValueError(f"has version {version} of its format; write it in version {newest}")
    # What a file without sections says means the same in all versions.
    return {"version": version, **document}


def _sections(document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the sections for images and for the runtime; in version 2 both are one."""
    if document["version"] == 2:
        section = _table(document, "plugins", CRI)
        return section, section
    return _table(document, "plugins", IMAGES), _table(document, "plugins", RUNTIME)


def _set_registry(registry: dict[str, Any], certs_d: str) -> None:
    configs = registry.get("configs", {})
    old = [key for key in ("mirrors",) if registry.get(key)]
    old += ["configs"] if any("tls" in entry for entry in configs.values()) else []
    if old:
        raise ValueError(
            f"has registry.{' and registry.'.join(old)}, which containerd refuses beside "
            f"config_path; give them as hosts.toml in {certs_d} or as private registries of the "
            "request"
        )
    paths = [path for path in registry.get("config_path", "").split(":") if path]
    if certs_d not in paths[:1]:
        # containerd takes the first directory that knows a registry.
        registry["config_path"] = ":".join([certs_d, *(p for p in paths if p != certs_d)])


def _set_systemd_cgroup(containerd: dict[str, Any], default_runtime: tuple[str, str]) -> None:
    """Set it for runc, for the default runtime, and for whatever else is of runc's type: the
    kubelet makes the cgroups of all pods in one way."""
    runtimes = _table(containerd, "runtimes")
    name, kind = default_runtime
    name = containerd.get("default_runtime_name", name)
    if name in runtimes:
        kind = runtimes[name].get("runtime_type", kind)
    alike = [n for n, runtime in runtimes.items() if runtime.get("runtime_type") == RUNC]
    for each in dict.fromkeys(["runc", *alike, *([name] if kind == RUNC else [])]):
        # A table of its own takes the place of containerd's default one.
        runtimes.setdefault(each, {}).setdefault("runtime_type", RUNC)
        _table(runtimes[each], "options")["SystemdCgroup"] = True


def _set_plugin_directory(runtime: dict[str, Any], in_effect: Sequence[str]) -> tuple[str, ...]:
    """Make containerd look where pod networks install; return the directories left out."""
    cni = runtime.get("cni", {})
    if "bin_dirs" not in cni and "bin_dir" not in cni and CNI_PLUGINS not in in_effect:
        _table(runtime, "cni")["bin_dir"] = CNI_PLUGINS
        return tuple(filter(None, in_effect))
    if "bin_dirs" in cni:
        if CNI_PLUGINS not in cni["bin_dirs"]:
            cni["bin_dirs"] = [*cni["bin_dirs"], CNI_PLUGINS]
    elif cni.get("bin_dir", CNI_PLUGINS) != CNI_PLUGINS:
        left = cni["bin_dir"]
        cni["bin_dir"] = CNI_PLUGINS
        return (left,)
    return ()


def _table(table: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Return a table inside another one, made where it is not there."""
    for key in keys:
        table = table.setdefault(key, {})
    return table
