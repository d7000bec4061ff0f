# SPDX-License-Identifier: Apache-2.0
"""The state of a real machine: this one."""

from __future__ import annotations

import base64
import hashlib
import platform
import subprocess

import pytest

from tacker_cir.facts import gather
from tests.functional.server import IS_ROOT


@pytest.mark.skipif(not IS_ROOT, reason="a machine's state is read as root")
def test_what_this_machine_has(sshd, dial, tmp_path):
    odd = tmp_path / "it's $odd"
    odd.write_bytes(b"content\n")
    odd.chmod(0o640)
    missing = str(tmp_path / "missing")
    tree = tmp_path / "tree"
    (tree / "registry:5000").mkdir(parents=True)
    deep = tree / "registry:5000" / "it's $deep"
    deep.write_bytes(b"\xff\0tab\tline\n" * 999)
    connection = dial(sshd)
    before = sshd.commands
    facts = gather(
        connection,
        packages=["dpkg", "no-such-package"],
        files=[str(odd), missing, str(tmp_path)],
        contents=[str(deep), missing],
        trees=[str(tree), missing],
        images=["no/such:image"],
        containers=["no-such-container"],
    )
    # How to become root is learnt with it.
    assert sshd.commands - before == 1
    assert facts.os_release == platform.freedesktop_os_release()
    told = subprocess.check_output(["dpkg", "--print-architecture"], text=True)
    assert facts.architecture == told.strip()
    query = ["dpkg-query", "-W", "-f", "${Version}", "dpkg"]
    assert facts.packages == {"dpkg": subprocess.check_output(query, text=True)}
    fact = facts.files[str(odd)]
    assert (fact.mode, fact.owner, fact.group) == (0o640, "root", "root")
    assert fact.sha256 == hashlib.sha256(b"content\n").hexdigest()
    assert set(facts.files) == {str(odd), str(deep)}
    assert facts.contents == {str(deep): deep.read_bytes()}
    assert facts.files[str(deep)].sha256 == hashlib.sha256(deep.read_bytes()).hexdigest()
    assert facts.images == {} and facts.containers == {}


def test_of_a_kubeconfig_only_the_certificate_is_read(sshd, dial, tmp_path):
    pem = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    encoded = base64.b64encode(pem).decode()
    plain, config, rotated = (tmp_path / name for name in ("a.crt", "b.conf", "kubelet.conf"))
    plain.write_bytes(pem)
    user = f"    client-certificate-data: {encoded}\n    client-key-data: U0VDUkVU\n"
    config.write_text(f"users:\n- name: a\n  user:\n{user}- name: b\n  user:\n{user}")
    rotated.write_text("    client-certificate: /var/lib/kubelet/pki/current.pem\n")
    paths = [str(path) for path in (plain, config, rotated, tmp_path / "missing")]
    facts = gather(dial(sshd), certificates=paths)
    assert facts.certificates == {paths[0]: pem, paths[1]: pem, paths[2]: b""}
