# SPDX-License-Identifier: Apache-2.0
"""paramiko's connection, with a bound to what the peer can make us keep and log.

paramiko buffers whatever comes: a packet of the 4 GB that its length field allows, a banner without
an end, data beyond the window of a channel; and it logs each message that it does not know.
OpenSSH's client ends the connection for each of them.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

import paramiko
from paramiko.common import MSG_CHANNEL_DATA, MSG_CHANNEL_EXTENDED_DATA
from paramiko.message import Message
from paramiko.packet import Packetizer

#: Bytes of one packet; OpenSSH's PACKET_MAX_SIZE. We ask for 32 KiB (RFC 4253, section 6.1).
MAX_PACKET = 256 * 1024
#: Bytes that a server may say before its packets; RFC 4253, section 4.2, means some lines.
MAX_BANNER = 64 * 1024
#: Lines that a connection may bring into the log: some of each login, none while commands run.
MOST_LOGGED = 100
#: Characters of such a line.
LOGGED = 1000
# RFC 4254, section 5.2; there is no other.
_STDERR = (1).to_bytes(4, "big")


class _Packetizer(Packetizer):
    _banner = 0

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        if n > MAX_PACKET:
            raise paramiko.SSHException(f"the peer sends a packet of {n} bytes")
        return super().read_all(n, check_rekey)

    def _read_timeout(self, timeout: float) -> bytes:
        said = super()._read_timeout(timeout)
        self._banner += len(said)
        if self._banner > MAX_BANNER:
            raise paramiko.SSHException("the peer's banner does not end")
        return said


def _within_window(
    feed: Callable[[paramiko.Channel, Message], None],
) -> Callable[[paramiko.Channel, Message], None]:
    """Return paramiko's handler of a channel's data, with the window enforced."""

    def handle(channel: paramiko.Channel, message: Message) -> None:
        feed(channel, message)
        unread = len(channel.in_buffer) + len(channel.in_stderr_buffer)
        if unread > channel.in_window_size:
            raise paramiko.SSHException("the peer sends more than the window allows")

    return handle


def _feed_stderr(channel: paramiko.Channel, message: Message) -> None:
    if message.get_remainder()[:4] != _STDERR:
        # paramiko would log each such packet.
        raise paramiko.SSHException("the peer sends a stream that SSH does not have")
    channel._feed_extended(message)


class BoundedTransport(paramiko.Transport):
    """A connection that ends where the peer sends more than it may.

    :param sock: a connected socket
    """

    _channel_handler_table = {
        **paramiko.Transport._channel_handler_table,
        MSG_CHANNEL_DATA: _within_window(paramiko.Channel._feed),
        MSG_CHANNEL_EXTENDED_DATA: _within_window(_feed_stderr),
    }

    _logged = 0

    def __init__(self, sock: socket.socket):
        super().__init__(sock, packetizer_class=_Packetizer)

    def get_exception(self) -> Exception | None:
        """Return what ended the connection. paramiko hands on whatever its own code stumbled over
        in a message that the peer damaged, and nobody expects that of it."""
        error = super().get_exception()
        if error is None or isinstance(error, (paramiko.SSHException, EOFError, OSError)):
            return error
        return paramiko.SSHException(f"the peer sends what cannot be read: {type(error).__name__}")

    def _log(self, level: int, msg: object, *args: object) -> None:
        # Errors are told once, as the connection ends.
        if logging.INFO <= level < logging.ERROR:
            self._logged += 1
            if self._logged > MOST_LOGGED:
                raise paramiko.SSHException("the peer sends what is logged without an end")
            msg = str(msg)[:LOGGED]
        super()._log(level, msg, *args)
