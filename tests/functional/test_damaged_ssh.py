# SPDX-License-Identifier: Apache-2.0
"""SSH servers whose messages are damaged: whatever the library stumbles over, the operation ends in
an error that names the machine. 50 messages by a fixed seed, and the worst known ones."""

from __future__ import annotations

import contextlib
import random

import paramiko
import pytest

from tacker_cir import exceptions as exc
from tacker_cir.command import Command
from tests.functional.hostile import HostileSshd
from tests.functional.test_hostile import connect

SEED = 7
# MSG_DISCONNECT with a reason that is no text; messages that end too early; a channel's exit status
# of no length, a signal without a name, a banner and failures that are no text.
WORST = [
    b"\x01\0\0\0\x02\0\0\0\x02\xff\xfe\0\0\0\0",
    b"\x01",
    b"\x14",
    b"\x1f\xff",
    b"\x35\0\0\0\x02\xff\xfe\0\0\0\0",
    b"\x33\0\0\0\x02\xff\xfe\0",
    b"\x50\0\0\0\x02\xff\xfe\x01",
    b"\x5b\0\0",
    b"\x5c\0\0\0\0\0\0\0\x01\0\0\0\x02\xff\xfe",
    b"\x62\0\0\0\0\0\0\0\x02\xff\xfe\0",
    b"\x62\0\0\0\0\0\0\0\x0bexit-status\0",
    b"\x5e\0\0\0\0\xff\xff\xff\xff",
    b"\xff",
]


class DamagedSshd(HostileSshd):
    """Sends one message as it is, at the login or once a command began.

    :param message: number, and what follows it
    """

    def __init__(self, message: bytes, when: str):
        self.message, self.when = message, when
        super().__init__("damaged")

    def check_auth_password(self, username: str, password: str) -> int:
        if self.when == "login":
            self._damage()
        return paramiko.common.AUTH_SUCCESSFUL

    def _run(self, channel: paramiko.Channel) -> None:
        self._damage()
        with contextlib.suppress(Exception):
            channel.send_exit_status(0)
            channel.close()

    def _damage(self) -> None:
        with contextlib.suppress(Exception):
            self._transports[-1]._send_message(paramiko.Message(self.message))


def messages() -> list[bytes]:
    noise = random.Random(SEED)
    numbers = [1, 2, 3, 4, 20, 21, 31, 51, 52, 53, 80, 81, 82, 90, 91, 92, 93, 94, 95, 96, 97, 98]
    made = [
        bytes([noise.choice(numbers)]) + noise.randbytes(noise.randint(0, 24)) for _ in range(50)
    ]
    return WORST + made


@pytest.mark.parametrize("when", ["login", "command"])
def test_damaged_messages(when, short_grace):
    failed = 0
    for message in messages():
        server = DamagedSshd(message, when)
        try:
            with connect(server) as connection:
                connection.run(Command(("true",), "test"), root=False, timeout=1)
        except exc.HostError as error:
            failed += 1
            assert "CP1" in str(error) and str(error).isprintable() and len(str(error)) < 1500
        finally:
            server.close()
    # None of them runs a command.
    assert failed == len(messages())
