# SPDX-License-Identifier: Apache-2.0
"""One OpenSSH server on a free loopback port, and the faults that a machine may show."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import re
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from http.server import ThreadingHTTPServer
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tacker_cir.private_keys import PrivateKey
from tests.functional.program import Program

ADDRESS = "127.0.0.1"
USER = pwd.getpwuid(os.geteuid()).pw_name
IS_ROOT = os.geteuid() == 0

# Runs every remote command. Where "cut" holds this command's number, the session's sshd is killed
# before the command starts or after it ended, as if the machine's network went away right then.
_FORCED_COMMAND = r"""#!/bin/sh
cd "$(dirname -- "$0")" || exit 99
number=$(($(cat count) + 1))
echo "$number" >count
read -r at when <cut
cut_connection() {
  pid=$$
  while read -r name </proc/$pid/comm && case $name in sshd*) false ;; esac; do
    read -r stat </proc/$pid/stat
    set -- ${stat##*) }
    pid=$2
  done
  kill -9 "$pid"
  exit 99
}
[ "$number $when" = "$at before" ] && cut_connection
cd / && sh -c "$SSH_ORIGINAL_COMMAND"
status=$?
[ "$number $when" = "$at after" ] && cut_connection
exit "$status"
"""

# As root sshd insists on a user "sshd", an empty /run/sshd and an account that is not locked. It
# gets them in a mount namespace of its own; the machine itself is left as it is.
_PRIVATE_SYSTEM_FILES = r"""
set -e
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/shadow" /etc/shadow
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -m 755 /run/sshd
shift
exec "$@"
"""


def wait_for(condition: Callable[[], object], what: str, seconds: float = 20) -> None:
    """Poll until ``condition`` is true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def serve(server: ThreadingHTTPServer, stack: contextlib.ExitStack) -> int:
    """Let a server answer until a stack is left; return its port."""
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    stack.callback(thread.join)
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    return server.server_port


def free_port() -> int:
    """Return a TCP port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return probe.getsockname()[1]


def new_key(kind: str = "ed25519") -> str:
    """Return a new private key in OpenSSH's format."""
    makers: dict[str, Callable[[], PrivateKey]] = {
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
        "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    }
    return (
        makers[kind]()
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        .decode()
    )


def public_line(private_key: str) -> str:
    """Return the public key line of a private key."""
    key = serialization.load_ssh_private_key(private_key.encode(), None)
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode()
    )


class Sshd:
    """A server that lets the current user in by key, and root also by password.

    :param program: the sshd to run
    :param directory: for its files, of its own
    :param host_keys: private host keys
    :param password: the login's password (needs root: sshd reads it from /etc/shadow)
    :param port: TCP port, a free one if None
    :param address: to listen at; 127.0.0.1 must be among what it means
    :param environment: NAME=value, for every remote command
    """

    def __init__(
        self,
        program: Program,
        directory: Path,
        host_keys: Iterable[str] = (),
        password: str | None = None,
        port: int | None = None,
        options: Iterable[str] = (),
        address: str = ADDRESS,
        environment: Iterable[str] = (),
    ):
        self.program, self.directory, self.address = program, directory, address
        self.port = port or free_port()
        self.host_keys = tuple(host_keys) or (new_key(),)
        self.user_key = new_key()
        self.password, self.options = password, tuple(options)
        self.log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._mark = f"TACKER_CIR_TEST_SSHD={self.port}.{os.getpid()}"
        self._environment = (self._mark, *environment)
        directory.mkdir(parents=True, exist_ok=True)
        self.authorized_keys = self._write("authorized_keys", public_line(self.user_key) + "\n")
        self._write("force", _FORCED_COMMAND, 0o700)
        self.cut_at(0, "never")

    def _write(self, name: str, text: str, mode: int = 0o600) -> Path:
        path = self.directory / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def start(self) -> Sshd:
        """Start it and wait until it answers."""
        lines = [
            f"Port {self.port}",
            f"ListenAddress {self.address}",
            "PidFile none",
            "UsePAM no",
            "StrictModes no",
            f"AuthorizedKeysFile {self.directory}/authorized_keys",
            "PermitRootLogin yes",
            f"ForceCommand {self.directory}/force",
            f"SetEnv {' '.join(self._environment)}",
            "MaxStartups 200",
            "LogLevel VERBOSE",
            *self.program.options(),
        ]
        for number, key in enumerate(self.host_keys):
            lines.append(f"HostKey {self._write(f'host_key_{number}', key)}")
        # Last: they may hold Match blocks.
        lines += self.options
        config = self._write("sshd_config", "\n".join(lines) + "\n")
        command = [str(self.program.path), "-D", "-e", "-f", str(config)]
        if IS_ROOT:
            self._write_system_files()
            script = [_PRIVATE_SYSTEM_FILES, "sh", str(self.directory)]
            command = ["unshare", "--mount", "sh", "-c", *script, *command]
        # A test run that is killed takes its servers with it.
        command = ["setpriv", "--pdeathsig", "KILL", *command]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.program.environment,
            )
        wait_for(self._answers, f"sshd answers; it says: {self.log.read_text()}")
        return self

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"sshd ended: {self.log.read_text()}"
        with contextlib.suppress(OSError), socket.create_connection((ADDRESS, self.port), 1) as s:
            return s.recv(4) == b"SSH-"
        return False

    def _write_system_files(self) -> None:
        passwd = Path("/etc/passwd").read_text()
        # bash would read the user's own profile for every remote command.
        passwd = re.sub(rf"^({USER}:.*):[^:\n]*$", r"\1:/bin/sh", passwd, flags=re.MULTILINE)
        if "\nsshd:" not in passwd:
            passwd += "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"
        self._write("passwd", passwd, 0o644)
        self._write("shadow", f"{USER}:{_hash(self.password)}:19000:0:99999:7:::\nsshd:!:::::::\n")

    def authorize(self, line: str) -> None:
        """Let in who has the private key of a public key line."""
        self.authorized_keys.write_text(self.authorized_keys.read_text() + line + "\n")

    def cut_at(self, command: int, when: str) -> None:
        """Cut the connection at the n-th command from now, ``before`` or ``after`` it runs."""
        self._write("count", "0\n")
        self._write("cut", f"{command} {when}\n")

    @property
    def commands(self) -> int:
        """Number of commands since :meth:`cut_at`."""
        return int((self.directory / "count").read_text())

    def sessions(self) -> list[int]:
        """Return the process ids of the server's open connections: one or two for each."""
        assert self._process is not None
        family, found = {self._process.pid}, []
        # A child's process id is nearly always above its parent's; twice covers a wrap-around.
        for pid, (name, parent) in sorted(_processes().items()) * 2:
            if parent in family and name.startswith("sshd") and pid not in family:
                family.add(pid)
                found.append(pid)
        return found

    def cpu(self) -> float:
        """Return the CPU seconds of all sessions that have ended, and of what they ran."""
        assert self._process is not None
        stat = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(") ")[2].split()
        # cutime and cstime of proc(5).
        return (int(stat[13]) + int(stat[14])) / os.sysconf("SC_CLK_TCK")

    def signal_sessions(self, number: signal.Signals) -> None:
        """Send a signal to every open connection's process: SIGSTOP makes the machine vanish."""
        for pid in self.sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def left_over(self) -> list[int]:
        """Return the processes that this server's commands left running."""
        found = []
        for directory in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self._mark.encode() in (directory / "environ").read_bytes().split(b"\0"):
                    found.append(int(directory.name))
        return found

    def stop(self) -> None:
        """End the server, its connections and whatever their commands left."""
        if self._process is None:
            return
        sessions = self.sessions()
        self._process.kill()
        self._process.wait()
        self._process = None
        for pid in (*sessions, *self.left_over()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def public_pairs(sshd: Sshd) -> list[tuple[str, str]]:
    """Return (type, base64 key) of the server's host keys."""
    pairs = []
    for key in sshd.host_keys:
        kind, encoded = public_line(key).split(" ")[:2]
        pairs.append((kind, encoded))
    return pairs


def shown_key(sshd: Sshd) -> paramiko.PKey:
    """Return the host key that a client without preference is shown."""
    transport = paramiko.Transport((ADDRESS, sshd.port))
    try:
        transport.start_client(timeout=10)
        return transport.get_remote_server_key()
    finally:
        transport.close()


def _processes() -> dict[int, tuple[str, int]]:
    """Return every process's name and parent."""
    processes = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            before, _, after = stat.read_text().rpartition(") ")
            processes[int(stat.parent.name)] = (before.partition("(")[2], int(after.split()[1]))
    return processes


def _hash(password: str | None) -> str:
    """Return the password as /etc/shadow wants it (crypt(3), SHA-512)."""
    if password is None:
        return "*"
    libcrypt = ctypes.CDLL("libcrypt.so.1")
    libcrypt.crypt.restype = ctypes.c_char_p
    salt = "$6$" + secrets.token_hex(8)
    return libcrypt.crypt(password.encode(), salt.encode()).decode()
