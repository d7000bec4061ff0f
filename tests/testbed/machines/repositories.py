# SPDX-License-Identifier: Apache-2.0
"""Indexes of apt repositories, unsigned or signed with a key made for the occasion."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.testbed.machines.host import run


def write_packages(top: Path, pool: str, target: Path) -> None:
    """Write the index of all packages in a directory.

    :param top: what the repository's file names are relative to.
    :param pool: the directory, relative to top.
    :param target: the file Packages to write, along with Packages.gz.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(run(["apt-ftparchive", "packages", pool], cwd=top).stdout)
    run(["gzip", "-9kn", target])


def write_release(directory: Path, fields: Mapping[str, str]) -> None:
    """Write the file Release for the indexes in a directory."""
    options = [f"-oAPT::FTPArchive::Release::{key}={value}" for key, value in fields.items()]
    # Written only after the scan, or the file would list itself.
    text = run(["apt-ftparchive", *options, "release", "."], cwd=directory).stdout
    (directory / "Release").write_text(text)


class Signer:
    """A new OpenPGP key that nobody else has."""

    def __init__(self, home: Path) -> None:
        self._gpg: list[str | Path] = ["gpg", "--homedir", home, "--batch", "--yes", "--quiet"]
        self._gpg += ["--pinentry-mode=loopback", "--passphrase", ""]
        run([*self._gpg, "--quick-generate-key", "tacker_cir lab", "ed25519", "sign", "never"])

    def export(self, target: Path) -> None:
        """Write the public key, armored."""
        run([*self._gpg, "--armor", "--output", target, "--export"])

    def sign(self, release: Path) -> None:
        """Sign a Release file, in both forms that apt knows: InRelease and Release.gpg."""
        run([*self._gpg, "--clearsign", "--output", release.with_name("InRelease"), release])
        detached = release.with_name("Release.gpg")
        run([*self._gpg, "--armor", "--detach-sign", "--output", detached, release])


@contextlib.contextmanager
def signer() -> Iterator[Signer]:
    """Make a signer, whose private key is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="lab-gpg-") as home:
        try:
            yield Signer(Path(home))
        finally:
            run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
