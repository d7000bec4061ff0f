# SPDX-License-Identifier: Apache-2.0
"""The errors of this package. Each one names the node, the step, the cause and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tacker_cir.text import printable

#: A request may have thousands of faults; a user mends the first ones and tries again.
SHOWN_FAULTS = 30
#: Characters of a fault's path, and of its problem.
SHOWN_LENGTH = 400


def _numbered(items: Iterable[object]) -> str:
    return "; ".join(f"({i}) {item}" for i, item in enumerate(items, 1))


class TackerCirError(Exception):
    """Root of all errors that this package raises on purpose.

    Whatever goes into one, its text is one line that can be shown to a person.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


@dataclass(frozen=True, order=True)
class Fault:
    """One fault of a request: where it is and what is expected there.

    :param path: path in the request, e.g. ``additionalParams.x.port_no``
    :param problem: what is wrong and what is expected; never holds a secret value
    """

    path: str
    problem: str

    def __str__(self) -> str:
        return printable(f"{_beginning(self.path)}: {_beginning(self.problem)}")


def _beginning(text: str) -> str:
    return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}..."


class InvalidRequest(TackerCirError):
    """The request or the VNF package has faults; no machine was touched.

    :param faults: every fault that was found
    """

    def __init__(self, faults: Sequence[Fault]):
        self.faults = tuple(sorted(set(faults)))
        count = len(self.faults)
        noun = "fault" if count == 1 else "faults"
        super().__init__(f"the request has {count} {noun}, nothing was changed: {self._listing}")

    @property
    def _listing(self) -> str:
        left_out = len(self.faults) - SHOWN_FAULTS
        more = f"; and {left_out} more" if left_out > 0 else ""
        return f"{_numbered(self.faults[:SHOWN_FAULTS])}{more}"


class InvalidMetadata(InvalidRequest):
    """The VNF instance's metadata have faults, which Tacker has stored before it asked us."""

    def __init__(self, faults: Sequence[Fault]):
        super().__init__(faults)
        self.args = (
            "the VNF instance's metadata do not fit, no node was changed: "
            f"{self._listing}. To do: change the metadata again; every operation is "
            "refused until they are right",
        )


class UnreadableInput(TackerCirError):
    """A file that the user named cannot be read or written, or is not of its format."""


class WrongUse(TackerCirError):
    """Options contradict each other, or lack what they need."""


def io_problem(error: OSError) -> str:
    """Return what is wrong with a file in few words."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return (error.strerror or type(error).__name__).lower()


class InventoryError(TackerCirError):
    """Heat does not know the VM, or cannot be asked."""


class HostError(TackerCirError):
    """A step on one machine failed.

    :param node: the machine as the user knows it, e.g. ``CP1 (198.51.100.10)``
    :param step: what was being done, e.g. ``install docker.io``
    :param cause: what happened, secrets masked
    :param remedy: what to do about it
    """

    def __init__(self, node: str, step: str, cause: str, remedy: str):
        self.node, self.step, self.cause, self.remedy = node, step, cause, remedy
        super().__init__(f"node {node}, step '{step}': {cause.rstrip('.')}. To do: {remedy}")


class ConnectError(HostError):
    """SSH to the machine could not be established."""


class AuthenticationFailed(ConnectError):
    """The machine refuses the user name, password or key."""


class HostKeyError(ConnectError):
    """The machine does not show the host key that it must have, or it cannot be told which."""


class PinStoreError(TackerCirError):
    """The conductor's own files of pinned host keys are damaged or cannot be used.

    :param path: of the file or directory
    :param problem: what is wrong with it
    :param remedy: what to do about it
    """

    def __init__(self, path: str, problem: str, remedy: str):
        self.path, self.problem, self.remedy = path, problem, remedy
        super().__init__(f"{path}: {problem}. To do: {remedy}")


class ConnectionLost(HostError):
    """The SSH connection broke while a command ran."""


class CommandFailed(HostError):
    """A remote command ended with an exit status that means failure.

    :param exit_status: the exit status
    :param stderr: end of the command's standard error, secrets masked
    """

    def __init__(
        self, node: str, step: str, cause: str, remedy: str, *, exit_status: int, stderr: str
    ):
        super().__init__(node, step, cause, remedy)
        self.exit_status, self.stderr = exit_status, stderr


class CommandTimeout(HostError):
    """A remote command did not end before its deadline."""


class OperationNotSupported(TackerCirError):
    """Tacker asked for a life-cycle operation that this VNF does not have."""


class SeveralFailed(TackerCirError):
    """Several machines failed at once.

    :param errors: one for each of them
    """

    def __init__(self, errors: Sequence[TackerCirError]):
        self.errors = tuple(errors)
        super().__init__(f"{len(self.errors)} nodes failed: {_numbered(self.errors)}")


class VimError(TackerCirError):
    """Tacker cannot register the cluster as a VIM, or cannot take it away."""


class ClusterError(TackerCirError):
    """The cluster does not allow what was asked for."""
