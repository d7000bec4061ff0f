# SPDX-License-Identifier: Apache-2.0
"""A user's machine with Docker: pushes images to a registry and pulls them."""

from __future__ import annotations

from pathlib import Path

from tacker_cir.command import Command
from tacker_cir.ssh import Connection
from tests.lab.login import log_in
from tests.testbed.machines import MachineLab

ADDRESS = "198.51.100.250"


class DockerHost:
    """A machine that trusts no registry before it is told to.

    :param lab: the lab that it is made in
    """

    def __init__(self, lab: MachineLab, name: str = "docker-host", address: str = ADDRESS):
        self._lab, self.name, self._address = lab, name, address
        self._connection: Connection | None = None

    def __enter__(self) -> DockerHost:
        self._lab.create(self.name, self._address)
        try:
            self._connection = log_in(self.name, self._address)
            self._run("apt-get", "-q", "update")
            self._run("apt-get", "-qy", "install", "--no-install-recommends", "docker.io")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc_info: object) -> None:
        if self._connection is not None:
            self._connection.close()
        self._lab.delete(self.name)

    def log_in(self, server: str, ca: str, user: str, password: str) -> None:
        """Trust a registry by its authority, and log in to it.

        :param server: ``host:port``
        :param ca: in PEM
        """
        directory = f"/etc/docker/certs.d/{server}"
        self._run("mkdir", "-p", directory)
        self._run("tee", f"{directory}/ca.crt", stdin=ca.encode())
        words = ["docker", "login", "--username", user, "--password-stdin", server]
        self._run(*words, stdin=password.encode())

    def push(self, archive: Path, tag: str, reference: str) -> str:
        """Load an image, push it to a registry and return its digest there.

        :param archive: made with ``docker save``
        :param tag: the image in it
        :param reference: where to push it, e.g. ``198.51.100.10:443/test/x:1``
        """
        with archive.open("rb") as source:
            self._run("docker", "load", "--quiet", stdin=source.read())
        self._run("docker", "tag", tag, reference)
        self._run("docker", "push", "--quiet", reference)
        return self._digest(reference)

    def pull(self, reference: str) -> str:
        """Pull an image that is not here any more and return its digest."""
        self._run("sh", "-c", "docker rmi --force $(docker images --quiet) >/dev/null")
        self._run("docker", "pull", "--quiet", reference)
        return self._digest(reference)

    def _digest(self, reference: str) -> str:
        name = "{{index .RepoDigests 0}}"
        shown = self._run("docker", "image", "inspect", "--format", name, reference)
        return shown.strip().partition("@")[2]

    def _run(self, *argv: str, stdin: bytes = b"") -> str:
        assert self._connection is not None
        command = Command(argv, " ".join(argv[:2]))
        return self._connection.run(command, stdin=stdin, timeout=120).stdout
