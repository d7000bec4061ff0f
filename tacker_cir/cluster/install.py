# SPDX-License-Identifier: Apache-2.0
"""The install script on a node: its files, its steps, and what it says of them.

The script comes with the VNF package (``script_path``), so that a site may change it; how it is
called and answers is written at its beginning. Each step is safe to repeat, also after a cut.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict, cast

from tacker_cir import log as logging
from tacker_cir.command import Command
from tacker_cir.exceptions import CommandFailed, HostError
from tacker_cir.facts import Facts
from tacker_cir.host import packages as host_packages
from tacker_cir.host.files import ManagedFile
from tacker_cir.host.machine import Machine
from tacker_cir.params.k8s_cluster import KubernetesPackages
from tacker_cir.params.proxy import Proxy
from tacker_cir.ssh import RETRY, Connection, Result
from tacker_cir.waiting import Deadline, NotYet, wait_until

LOG = logging.getLogger(__name__)

SCRIPT = "/usr/local/lib/tacker-cir/install_k8s_cluster.sh"
SOURCE = "kubernetes"
#: Where the script puts the key of pkgs.k8s.io, which it fetches.
KEY = host_packages.key_path(SOURCE)

#: Files that tell the package manager where to get packages from.
SOURCES = (*host_packages.SETTINGS, *host_packages.source_paths(SOURCE))
#: Every path whose state :func:`desired_files` must know.
PATHS = (SCRIPT, *SOURCES)

#: Written by the script when kubeadm has done its work on the node, and before it begins.
MARKER, BEGUN = "/etc/kubernetes/tacker-cir-node", "/etc/kubernetes/tacker-cir-begun"
#: There where a machine belongs to a cluster, whoever made it. The script looks for the same.
TRACES = (
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/bootstrap-kubelet.conf",
    "/var/lib/etcd/member",
    "/var/lib/kubelet/kubeconfig",
    "/etc/rancher/k3s",
    "/etc/rancher/rke2",
    "/var/lib/k0s",
    "/var/snap/microk8s",
)

#: Exit status of the script where another program is at work (EX_TEMPFAIL of sysexits.h).
_BUSY = 75


def desired_files(
    facts: Facts, script: str, packages: KubernetesPackages, proxy: Proxy | None
) -> tuple[ManagedFile, ...]:
    """Return the script and the files that its step ``install`` needs.

    :param facts: gathered with :data:`PATHS`
    :param script: the script's text
    """
    manager = host_packages.manager(facts)
    source = manager.source(SOURCE)
    if packages.in_image or packages.mirror is not None:
        files = source.files(facts, packages.mirror)
    else:
        # The key is on the repository's own site, which only the node may reach: the script gets
        # it there.
        files = source.files_without_key(facts, packages.default_uri)
    script_file = ManagedFile(SCRIPT, script.encode(), 0o755)
    return (script_file, manager.proxy_file(proxy), *files)


def refuse_foreign_cluster(node: str, facts: Facts) -> None:
    """Refuse a machine that belongs to another's cluster, before anything is changed on it.

    Where the script is there already, kubeadm's traces may be those of an earlier operation: it
    tells them apart itself.

    :param facts: gathered with :data:`TRACES`, and with the files :data:`MARKER`, :data:`BEGUN`
        and :data:`SCRIPT`
    :raises HostError: it does
    """
    found = facts.paths.intersection(TRACES)
    if found and facts.files.keys().isdisjoint((MARKER, BEGUN, SCRIPT)):
        raise HostError(
            node,
            "look at the machine",
            "it belongs to a cluster that was not made by this driver: it has "
            + ", ".join(sorted(found)),
            "use a VM, and an image, without one. Nothing was changed on it; if nobody needs that "
            "cluster, 'kubeadm reset' and an empty /etc/kubernetes make the machine free",
        )


def install_words(packages: KubernetesPackages, hostname: str) -> tuple[str, ...]:
    """Return the arguments of the script's step ``install``, without the container runtime."""
    words = ["--kubernetes-version", packages.version, "--hostname", hostname]
    words += ["--packages", "image" if packages.in_image else "repository"]
    if not packages.in_image and packages.mirror is None:
        words += ["--key-url", f"{packages.default_uri}Release.key"]
        words += ["--keyring", KEY]
    return tuple(words)


@dataclass(frozen=True)
class Installed:
    """What step ``install`` found and did.

    :param changed: False where nothing was to be done
    :param in_container: whether the node is a container: its kernel settings are its host's
    """

    changed: bool
    in_container: bool


class Answer(TypedDict, total=False):
    """What the script tells of a step."""

    step: str
    changed: bool
    container: bool


@dataclass(frozen=True)
class NodeScript:
    """The steps of the script on one node, whose files (:func:`desired_files`) are there.

    Every step returns whether it changed anything, and raises HostError where it failed.
    Another program that uses apt is waited for, and an earlier run whose connection broke.
    Configurations go through the standard input: they hold tokens.

    :param container_runtime: name of the node's, one of the script's NODE_SCRIPT_RUNTIMES
    :param look: reads the machine's state anew where a step changes it as a whole, in the same
        round trip if the connection is a batch
    :param has_traces: whether kubeadm may have to undo an earlier attempt before it joins
    """

    machine: Machine
    container_runtime: str
    look: Callable[[Connection], None] | None = None
    has_traces: bool = True

    def install(self, packages: KubernetesPackages, hostname: str) -> Installed:
        """Make the machine ready for kubeadm: its name, kernel settings, runtime and programs.

        :param hostname: also the name of the node; had better be in /etc/hosts already, as sudo
            looks it up
        """
        answer = self._run(
            f"install Kubernetes {packages.version}",
            "install",
            *self._runtime,
            *install_words(packages, hostname),
            timeout=self.machine.limits.package_timeout,
            remedy="check that the VM reaches its apt sources (or the proxy), and that they have "
            "the packages",
            look=True,
        )
        return Installed(answer["changed"], answer["container"])

    def pull(self, config: str, *, worker: bool = False) -> bool:
        """Pull the control plane's images that are not there.

        :param config: kubeadm's, with a ClusterConfiguration
        :param worker: only what runs on a worker
        """
        only = ("--worker",) if worker else ()
        return self._run(
            "pull the images of Kubernetes",
            "pull",
            *self._runtime,
            *only,
            *_FROM_STDIN,
            stdin=config,
            remedy="check that the VM's container runtime reaches the registry of the images",
        )["changed"]

    def init(self, config: str) -> bool:
        """Begin a cluster; an earlier attempt that was cut off is undone first.

        :param config: kubeadm's, with an InitConfiguration and a ClusterConfiguration
        """
        return self._kubeadm("init", config, look=True)

    def join(self, config: str) -> bool:
        """Join a cluster; an earlier attempt that was cut off is undone first.

        :param config: kubeadm's, with a JoinConfiguration
        """
        return self._kubeadm("join", config, look=self.has_traces)

    def reset(self) -> bool:
        """Leave the cluster, so that the node can begin or join one again."""
        return self._run("reset the node", "reset", *self._runtime)["changed"]

    def network(self, manifest: str | None) -> bool:
        """Give the cluster its network of pods, on a master.

        :param manifest: YAML documents; None for the script's default
        """
        return self._run(
            "apply the network of pods",
            "network",
            *(() if manifest is None else ("--manifest", "-")),
            stdin=manifest or "",
            remedy="see the cause; give another cni_manifest_path where the manifest is at fault",
        )["changed"]

    @property
    def _runtime(self) -> tuple[str, str]:
        return "--container-runtime", self.container_runtime

    def _kubeadm(self, step: str, config: str, *, look: bool) -> bool:
        return self._run(
            f"kubeadm {step}",
            step,
            *self._runtime,
            *_FROM_STDIN,
            stdin=config,
            remedy="see the cause, and 'journalctl -u kubelet' of the VM",
            look=look,
        )["changed"]

    def _run(
        self,
        what: str,
        *words: str,
        stdin: str = "",
        timeout: float | None = None,
        remedy: str = RETRY,
        look: bool = False,
    ) -> Answer:
        """Run a step of the script and return its answer.

        :param timeout: seconds; None for those of a step of kubeadm
        """
        connection, limits = self.machine.connection, self.machine.limits
        if timeout is None:
            timeout = limits.kubeadm_timeout
        command = Command((SCRIPT, *words), what)

        def attempt() -> str:
            try:
                if look and self.look:
                    return self._run_and_look(command, stdin, timeout, remedy, self.look)
                return connection.run(
                    command, stdin=stdin.encode(), timeout=timeout, remedy=remedy
                ).stdout
            except CommandFailed as error:
                if error.exit_status == _BUSY:
                    raise NotYet(_last_line(error.stderr)) from None
                raise

        def on_retry(error: BaseException, elapsed: float) -> None:
            LOG.info("%s: %s: %s, for %.0f s now", connection.node, what, error, elapsed)

        def otherwise(last: NotYet) -> HostError:
            return HostError(
                connection.node,
                what,
                f"another program was at work for {limits.first_boot_timeout:.0f} seconds: {last}",
                "see which program it is, or raise [tacker_cir] first_boot_timeout",
            )

        LOG.info("%s: %s", connection.node, what)
        deadline = Deadline(limits.first_boot_timeout)
        output = wait_until(attempt, deadline, otherwise, first_wait=1, on_retry=on_retry)
        answer = parse_answer(output, words[0])
        if answer is None:
            raise HostError(
                connection.node,
                what,
                "the install script did not tell its result",
                "take the install script of this tacker_cir's sample package",
            )
        return answer

    def _run_and_look(
        self,
        command: Command,
        stdin: str,
        timeout: float,
        remedy: str,
        look: Callable[[Connection], None],
    ) -> str:
        connection = self.machine.connection
        ran = connection.later(
            command, stdin=stdin.encode(), timeout=timeout, ok=(0, _BUSY), remedy=remedy
        )
        look(connection)
        if ran.result.exit_status == _BUSY:
            raise NotYet(_last_line(ran.result.stderr))
        return ran.result.stdout


_FROM_STDIN = ("--config", "-")


# Arguments: the marker of a member, the script, its hash as it shall be, and its words.
_REPEAT = r"""
[ -s "$1" ] && [ "$(sha256sum <"$2")" = "$3  -" ] || exit 3
script=$2
shift 3
exec "$script" "$@"
"""


def repeat_install(
    script: str, packages: KubernetesPackages, container_runtime: str, hostname: str
) -> Command:
    """Return the command that repeats step ``install`` on a member of a cluster that has this very
    script, and else does nothing; :func:`installed_by` reads its result.

    :param script: the script's text
    """
    return Command.script(
        "look whether everything is installed",
        _REPEAT,
        MARKER,
        SCRIPT,
        hashlib.sha256(script.encode()).hexdigest(),
        "install",
        "--container-runtime",
        container_runtime,
        *install_words(packages, hostname),
    )


def installed_by(result: Result) -> Installed | None:
    """Return what step ``install`` told, None where it was not run or did not come to its end."""
    answer = parse_answer(result.stdout, "install") if result.exit_status == 0 else None
    return Installed(answer["changed"], answer["container"]) if answer else None


def parse_answer(output: str, step: str) -> Answer | None:
    """Return the result that the script told last, None where it told none of this step.

    :param output: the script's standard output
    """
    try:
        answer = json.loads(_last_line(output))
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict) or answer.get("step") != step:
        return None
    expected = ("changed", "container") if step == "install" else ("changed",)
    if not all(isinstance(answer.get(key), bool) for key in expected):
        return None
    return cast(Answer, answer)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
