# SPDX-License-Identifier: Apache-2.0
"""Work on several machines at once: how many, and what their errors come to."""

from __future__ import annotations

from collections.abc import Sequence

from tacker_cir.exceptions import SeveralFailed, TackerCirError

#: Machines at once: each costs a thread and an SSH connection.
LIMIT = 64


def raise_errors(errors: Sequence[BaseException]) -> None:
    """Raise what was collected: nothing, the only error, or all of them in one.

    An error that is not foreseen goes first, as itself: it is a defect and needs its traceback.
    """
    for error in errors:
        if not isinstance(error, TackerCirError):
            raise error
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise SeveralFailed([error for error in errors if isinstance(error, TackerCirError)])
