# SPDX-License-Identifier: Apache-2.0
"""What containerd makes of all its files: the output of ``containerd config dump``.

A file that config.toml imports has the last word. containerd before 2.0 even takes each plugin's
section of it in place of that of config.toml, and falls back to defaults for what it leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tacker_cir.render.containerd_config import (
    CNI_PLUGINS,
    CRI,
    IMAGES,
    RUNC,
    RUNTIME,
    tomllib,
)

#: Characters; a dump with all plugins has 10 kB.
_LONGEST = 1_000_000


@dataclass(frozen=True)
class Effective:
    """Settings in effect.

    :param default_runtime: name of the runtime of pods that ask for none
    :param runtime_type: its type
    :param systemd_cgroup: whether systemd makes its cgroups; None where its type does not tell
    :param config_path: directories of the registries' hosts.toml, separated by colons
    :param old_registries: tables of registries that containerd refuses beside ``config_path``
    :param sandbox_image: image of a pod's first container
    :param plugin_directories: where network plugins are looked for
    :param disabled: whether the CRI is switched off
    :param imports: files or patterns that are read besides
    """

    default_runtime: str
    runtime_type: str
    systemd_cgroup: bool | None
    config_path: str
    old_registries: tuple[str, ...]
    sandbox_image: str
    plugin_directories: tuple[str, ...]
    disabled: bool
    imports: tuple[str, ...]

    def shortfalls(
        self, certs_d: str, sandbox_image: str | None, systemd_cgroup: bool
    ) -> list[str]:
        """Return what is not in effect as it shall be, in words.

        :param certs_d: directory that shall be the first to tell of registries
        :param sandbox_image: None for any
        :param systemd_cgroup: whether systemd shall make the containers' cgroups
        """
        found = []
        if self.disabled:
            found.append("the CRI is among disabled_plugins")
        if self.config_path.split(":")[0] != certs_d:
            found.append(f"registry.config_path is {self.config_path!r}, not {certs_d!r}")
        found += [f"registry.{key} is there beside config_path" for key in self.old_registries]
        if sandbox_image not in (None, self.sandbox_image):
            found.append(f"the sandbox image is {self.sandbox_image!r}, not {sandbox_image!r}")
        if systemd_cgroup and self.systemd_cgroup is False:
            found.append(f"SystemdCgroup of the default runtime {self.default_runtime!r} is off")
        if CNI_PLUGINS not in self.plugin_directories:
            found.append(f"network plugins are not looked for in {CNI_PLUGINS}")
        return found


def parse(text: str) -> Effective | None:
    """Return what a dump says, None where it is none."""
    try:
        document = tomllib.loads(text if len(text) <= _LONGEST else "")
    except (ValueError, RecursionError):
        return None
    plugins = _table(document, "plugins")
    if not plugins:
        return None
    # Version 3 has a section of the old name as well, for other things.
    in_two = document.get("version") == 3
    images = _table(plugins, IMAGES if in_two else CRI)
    runtime = _table(plugins, RUNTIME if in_two else CRI)
    registry = _table(images, "registry")
    name = str(_table(runtime, "containerd").get("default_runtime_name") or "runc")
    default = _table(runtime, "containerd", "runtimes", name)
    cni = _table(runtime, "cni")
    configs = _table(registry, "configs").values()
    has_tls = any(_table(config, "tls") for config in configs if isinstance(config, dict))
    return Effective(
        default_runtime=name,
        runtime_type=str(default.get("runtime_type", "")),
        systemd_cgroup=_systemd_cgroup(default),
        config_path=str(registry.get("config_path", "")),
        old_registries=(
            *(("mirrors",) if registry.get("mirrors") else ()),
            *(("configs",) if has_tls else ()),
        ),
        sandbox_image=str(
            images.get("sandbox_image") or _table(images, "pinned_images").get("sandbox", "")
        ),
        plugin_directories=(*_strings(cni.get("bin_dirs")), str(cni.get("bin_dir", ""))),
        disabled=bool(
            {"cri", CRI, IMAGES, RUNTIME} & {*_strings(document.get("disabled_plugins"))}
        ),
        imports=_strings(document.get("imports")),
    )


def _systemd_cgroup(runtime: Mapping[str, Any]) -> bool | None:
    if runtime.get("runtime_type") != RUNC:
        return None
    return _table(runtime, "options").get("SystemdCgroup") is True


def _table(table: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """Return a table inside another one, empty where there is none."""
    for key in keys:
        found = table.get(key)
        table = found if isinstance(found, dict) else {}
    return table


def _strings(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()
