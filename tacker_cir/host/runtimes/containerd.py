# SPDX-License-Identifier: Apache-2.0
"""containerd of a Kubernetes node: its settings in effect, whatever its files say, and its CRI."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from tacker_cir import kubernetes_versions
from tacker_cir import log as logging
from tacker_cir.command import Command, Secret
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts
from tacker_cir.host import certs_d
from tacker_cir.host.files import ManagedFile, kept, unusable
from tacker_cir.host.machine import Machine
from tacker_cir.host.runtimes.base import NodeRuntime
from tacker_cir.host.service import Service
from tacker_cir.params.proxy import Proxy
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.render import containerd_config, containerd_dump
from tacker_cir.render.containerd_config import CNI_PLUGINS, RUNC
from tacker_cir.render.containerd_dump import Effective
from tacker_cir.runtimes.containerd import Containerd
from tacker_cir.ssh import Connection
from tacker_cir.steps import timed
from tacker_cir.text import shown
from tacker_cir.waiting import Deadline, NotYet, wait_until

LOG = logging.getLogger(__name__)

CONTAINERD = Service("containerd")
CONTAINERD_CONFIG = "/etc/containerd/config.toml"
CONTAINERD_CERTS_D = "/etc/containerd/certs.d"

# Plugins that the distribution put elsewhere; those of the same name that are there stay.
_LINK_PLUGINS = r"""
set -eu
from=$1 to=$2
[ -d "$from" ] || exit 0
mkdir -p -- "$to"
for plugin in "$from"/*; do
  name=$(basename -- "$plugin")
  [ -e "$to/$name" ] || ln -sfn -- "$plugin" "$to/$name"
done
"""

_CRI_STATUS = "ctr plugins ls | awk '$2 == \"cri\" || $1 ~ /\\.cri\\./ { print $2, $NF }'"
_CRI_DETAILS = "ctr plugins ls -d id==cri | sed -n 's/^ *Message: *//p'"
# Its plugins, an empty line, and what it makes of its files.
_STATE = f'{_CRI_STATUS}; echo; containerd --config "$1" config dump'

# What containerd would make of a file that is not its own yet. Beside it, as it may import files by
# relative paths.
_TRY = r"""
set -eu
umask 077
new=${1%/*}/.${1##*/}.tacker-cir-new
trap 'rm -f -- "$new"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM
mkdir -p -- "${1%/*}"
cat >"$new"
containerd --config "$new" config dump
"""
_WITH_CRI = r"""
cd "$1" || exit 0
shift
IFS=
for pattern; do
  for file in $pattern; do
    [ -f "$file" ] && grep -lE 'io\.containerd\.(grpc\.v1\.cri|cri\.v1)|disabled_plugins' "$file"
  done
done
exit 0
"""

# crictl asks what the kubelet asks; it is there where kubeadm's package brought it. It takes the
# login since 1.24; an older one, and ctr, have that of hosts.toml.
_PULL = r"""
IFS= read -r login || :
if command -v crictl >/dev/null 2>&1; then
  if [ -n "$login" ]; then export CRICTL_AUTH="$login"; fi
  exec crictl --runtime-endpoint "unix://$3" pull "$1"
fi
exec ctr -n k8s.io images pull --hosts-dir "$2" "$1" >/dev/null
"""

_STEP = f"complete {CONTAINERD_CONFIG}"


class ContainerdRuntime(NodeRuntime):
    """containerd of a node."""

    kind = Containerd()
    paths = CONTAINERD.paths
    contents = (CONTAINERD_CONFIG,)
    trees = (CONTAINERD_CERTS_D,)
    effective = (Containerd.program,)
    pulls_sandboxes = True
    reads_registries_late = True

    def is_installed(self, facts: Facts) -> bool:
        return bool(facts.containerd)

    def shortfall(self, facts: Facts, minor: int) -> tuple[str, str] | None:
        first = kubernetes_versions.FIRST_WITHOUT_CONTAINERD_1
        if minor < first or facts.containerd[:2] != "1.":
            return None
        return (
            f"the VM has containerd {facts.containerd}, and since 1.{first} Kubernetes is for "
            "containerd 2.0 and later",
            "use an image that has containerd 2 or whose apt sources have it, or a "
            f"kubernetes_version before 1.{first}",
        )

    def own_cgroup_driver(self, facts: Facts) -> str | None:
        effective = containerd_dump.parse(facts.containerd_dump)
        if effective:
            return "systemd" if effective.systemd_cgroup else None
        try:
            on = containerd_config.has_systemd_cgroup(facts.text(CONTAINERD_CONFIG))
        except ValueError:
            return None  # ensure() reports it.
        return "systemd" if on else None

    def ensure_serving(
        self, machine: Machine, sandbox_image: str | None, proxy: Proxy | None, no_proxy: str
    ) -> bool:
        """See :meth:`NodeRuntime.ensure`.

        :raises HostError: besides, the settings have no effect; the file is as it was then
        """
        connection, facts = machine.connection, machine.facts
        systemd_cgroup = self.cgroup_driver(facts) == "systemd"
        shortfalls = partial(
            Effective.shortfalls,
            certs_d=CONTAINERD_CERTS_D,
            sandbox_image=sandbox_image,
            systemd_cgroup=systemd_cgroup,
        )
        merged = _settings(machine, shortfalls, sandbox_image, systemd_cgroup)
        proxy_files = CONTAINERD.proxy_files(proxy, no_proxy)
        files = (kept(facts, CONTAINERD_CONFIG, merged.text), *proxy_files)
        for directory in merged.left_plugins:
            step = f"link the network plugins of {directory}"
            connection.later(Command.script(step, _LINK_PLUGINS, directory, CNI_PLUGINS))
        with machine.taken_back([CONTAINERD_CONFIG], CONTAINERD.restart):
            changed = CONTAINERD.write(machine, *files, stale=CONTAINERD.is_stale(facts, files))
            if not CONTAINERD.ensure_running(machine):
                return bool(changed)
            facts.containerd_dump = _wait_for_cri(machine)
            effective = containerd_dump.parse(facts.containerd_dump)
            if effective and (found := shortfalls(effective)):
                raise _without_effect(connection, effective, found)
        return True

    def registry_files(self, registries: Sequence[RegistryConnection]) -> list[ManagedFile]:
        return certs_d.containerd_files(CONTAINERD_CERTS_D, registries)

    def pull(self, image: str, login: Secret | None) -> tuple[Command, bytes]:
        words = (image, CONTAINERD_CERTS_D, self.kind.socket)
        given = f"{login.reveal()}\n".encode() if login else b""
        return Command.script(f"pull {image}", _PULL, *words), given


def _settings(
    machine: Machine,
    shortfalls: Callable[[Effective], list[str]],
    sandbox_image: str | None,
    systemd_cgroup: bool,
) -> containerd_config.Merged:
    """Return the file as it shall be, once it is known that nothing stands against it."""
    connection, facts = machine.connection, machine.facts
    effective = containerd_dump.parse(facts.containerd_dump)
    merged = _merged(machine, effective, sandbox_image, systemd_cgroup)
    if effective is None:
        # With its file containerd says nothing, as where there is none: what are its defaults?
        effective = _try(connection, facts.text(CONTAINERD_CONFIG) or "")
        merged = _merged(machine, effective, sandbox_image, systemd_cgroup)
    is_current = kept(facts, CONTAINERD_CONFIG, merged.text).is_current(facts)
    if effective and not is_current and _may_be_overridden(facts, effective):
        effective, is_current = _try(connection, merged.text), True
    if effective and is_current and (found := shortfalls(effective)):
        raise _without_effect(connection, effective, found)
    return merged


def _merged(
    machine: Machine,
    effective: Effective | None,
    sandbox_image: str | None,
    systemd_cgroup: bool,
) -> containerd_config.Merged:
    facts = machine.facts
    if facts.containerd_config_file not in ("", CONTAINERD_CONFIG):
        raise HostError(
            machine.node,
            _STEP,
            f"the unit of containerd names another file, {shown(facts.containerd_config_file)}",
            "take --config out of the unit, or of the drop-in that brings it",
        )
    default_runtime = ("runc", RUNC)
    directories: tuple[str, ...] = (CNI_PLUGINS,)
    if effective:
        default_runtime = (effective.default_runtime, effective.runtime_type or RUNC)
        directories = effective.plugin_directories
    try:
        return containerd_config.merge(
            facts.text(CONTAINERD_CONFIG),
            major=int(facts.containerd.partition(".")[0]),
            certs_d=CONTAINERD_CERTS_D,
            sandbox_image=sandbox_image,
            systemd_cgroup=systemd_cgroup,
            default_runtime=default_runtime,
            plugin_directories=directories,
        )
    except ValueError as error:
        raise unusable(machine.node, CONTAINERD_CONFIG, error) from None


def _may_be_overridden(facts: Facts, effective: Effective) -> bool:
    """Tell whether containerd reads other files as well."""
    imports = "imports" in (facts.text(CONTAINERD_CONFIG) or "")
    return imports or not {*effective.imports} <= {CONTAINERD_CONFIG}


def _try(connection: Connection, text: str) -> Effective | None:
    """Return what would be in effect with a file."""
    command = Command.script("try the new settings of containerd", _TRY, CONTAINERD_CONFIG)
    remedy = f"repair the files that {CONTAINERD_CONFIG} imports"
    return containerd_dump.parse(connection.run(command, stdin=text.encode(), remedy=remedy).stdout)


def _without_effect(connection: Connection, effective: Effective, found: list[str]) -> HostError:
    """Return the error for settings that another file overrides; it names the file."""
    step = "find what overrides containerd's settings"
    directory = CONTAINERD_CONFIG.rpartition("/")[0]
    patterns = [path for path in effective.imports if not path.endswith(".tacker-cir-new")]
    told = connection.run(Command.script(step, _WITH_CRI, directory, *patterns)).stdout.splitlines()
    files = shown(" and ".join(path for path in told if path != CONTAINERD_CONFIG))
    cause = f"{files} has the last word, so that the file" if files else "the file"
    return HostError(
        connection.node,
        _STEP,
        f"{cause} has no effect: {shown('; '.join(found))}",
        f"move the settings of the CRI from other files into {CONTAINERD_CONFIG}: containerd "
        "before 2.0 takes one file's section in place of another's",
    )


def _wait_for_cri(machine: Machine) -> str:
    """Wait until containerd serves the kubelet; return its settings in effect."""
    connection = machine.connection
    state = Command.script("wait for containerd's CRI", _STATE, CONTAINERD_CONFIG)

    def attempt() -> str:
        plugins, _, dump = connection.run(state).stdout.partition("\n\n")
        found = [line.rpartition(" ")[2] for line in plugins.splitlines()]
        if not found or any(state != "ok" for state in found):
            raise NotYet
        return dump

    def otherwise(_last: NotYet) -> HostError:
        details = connection.run(Command.script(state.step, _CRI_DETAILS), ok=None).stdout
        return HostError(
            connection.node,
            state.step,
            f"it does not serve: {' '.join(details.split()) or 'the plugin is not loaded'}",
            f"see {CONTAINERD_CONFIG} and 'journalctl -u containerd' of the VM",
        )

    with timed(connection.node, state.step):
        dump = wait_until(attempt, Deadline(machine.limits.service_timeout), otherwise)
    LOG.info("%s: containerd serves the kubelet", connection.node)
    return dump
