# SPDX-License-Identifier: Apache-2.0
"""Files that tell apt where to get packages from: its proxy, and repositories of our own."""

from __future__ import annotations

from tacker_cir.facts import Facts
from tacker_cir.host.files import ManagedFile
from tacker_cir.params.proxy import Proxy
from tacker_cir.params.reader import AptRepository
from tacker_cir.render import apt as render_apt

PROXY = "/etc/apt/apt.conf.d/90tacker-cir-proxy"


def proxy_file(proxy: Proxy | None) -> ManagedFile:
    """Return apt's proxy settings, absent where there is no proxy."""
    if proxy is None:
        return ManagedFile(PROXY, None)
    http = proxy.http.reveal() if proxy.http else None
    https = proxy.https.reveal() if proxy.https else None
    content = render_apt.proxy_conf(http, https, proxy.no_proxy).encode()
    # apt reads an unreadable fragment as empty, so other users' queries go on working.
    return ManagedFile(PROXY, content, 0o600 if proxy.has_credentials else 0o644)


class Source:
    """Where apt keeps one repository: its description and its key.

    :param name: of the files, e.g. ``docker``
    """

    def __init__(self, name: str):
        self.path = f"/etc/apt/sources.list.d/tacker-cir-{name}.sources"
        self.armored_key = f"/etc/apt/keyrings/tacker-cir-{name}.asc"
        self.binary_key = f"/etc/apt/keyrings/tacker-cir-{name}.gpg"

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path whose state :meth:`files` must know."""
        return self.armored_key, self.binary_key, self.path

    def files(self, facts: Facts, repository: AptRepository | None) -> tuple[ManagedFile, ...]:
        """Return the files of a repository that has a key; all absent where there is none."""
        armored = binary = description = None
        if repository:
            is_armored = b"-----BEGIN" in repository.keyring
            # apt tells the two formats apart by the file's ending.
            if is_armored:
                armored = repository.keyring
            else:
                binary = repository.keyring
            suite = repository.suite or facts.os_release.get("VERSION_CODENAME", "stable")
            description = render_apt.deb822_source(
                repository.uri,
                suite,
                repository.components,
                self.armored_key if is_armored else self.binary_key,
                facts.architecture,
            ).encode()
        return (
            ManagedFile(self.armored_key, armored),
            ManagedFile(self.binary_key, binary),
            ManagedFile(self.path, description),
        )
