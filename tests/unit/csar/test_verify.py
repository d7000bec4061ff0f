# SPDX-License-Identifier: Apache-2.0
"""What verify finds in VNF packages that were tampered with."""

import hashlib
import stat
import zipfile

import pytest

from tacker_cir import csar
from tacker_cir.csar import CsarError
from tests.unit.csar.common import DEFINITIONS, DRIVER_FILE, rewrite


@pytest.mark.parametrize(
    ("name", "change", "where", "message"),
    [
        (DRIVER_FILE, lambda old: old + b"#", DRIVER_FILE, "MgmtDriverHashMatchFailure"),
        (DRIVER_FILE, lambda old: None, DRIVER_FILE, "listed in"),
        ("Files/images/jammy.img", lambda old: old[:-1], "Files/images/jammy.img", "sha-512 is"),
        (DEFINITIONS, lambda old: None, "private_registry_df", "imports etsi_nfv_sol001_vnfd"),
        (DEFINITIONS, lambda old: b"a: [", "private_registry_top", "is not YAML"),
        ("TOSCA-Metadata/TOSCA.meta", lambda old: None, "TOSCA.meta", "is missing"),
        (
            "TOSCA-Metadata/TOSCA.meta",
            lambda old: old.replace(b"SHA-256", b"MD5"),
            DRIVER_FILE,
            "expected SHA-224",
        ),
        (
            "Definitions/private_registry_df_simple.yaml",
            lambda old: old.replace(b"heal_end", b"heal_later"),
            "private_registry_df",
            "must also implement heal_end",
        ),
        (
            "Definitions/private_registry_df_simple.yaml",
            lambda old: old.replace(b"mgmt-drivers-private-registry", b"mgmt-drivers-other"),
            DRIVER_FILE,
            "no installed distribution",
        ),
        (
            "Definitions/private_registry_df_simple.yaml",
            lambda old: old.replace(b"requirements:\n      virtual_link_external", b"x:\n      y"),
            "private_registry_df",
            "lacks requirements",
        ),
    ],
)
def test_verify_finds(name, change, where, message, variants):
    built = variants("tosca")
    rewrite(built.path, name, change)

    findings = csar.verify(built.path)

    assert any(where in f.where and message in f.message for f in findings), findings
    assert all(f.level == "error" for f in findings)


def test_verify_ignores_line_ends_of_the_driver_as_tacker_does(variants, tmp_path):
    built = variants("basehot")
    rewrite(built.path, DRIVER_FILE, lambda old: old.replace(b"\n", b"\r\n"))

    # The hash in TOSCA.meta is of the bytes, Tacker's comparison with the installed file is not.
    (finding,) = csar.verify(built.path)
    assert "TOSCA.meta says" in finding.message


def test_verify_warns_of_an_import_by_url(variants):
    built = variants("basehot")
    rewrite(
        built.path,
        "Definitions/private_registry_top.vnfd.yaml",
        lambda old: old.replace(b"imports:\n", b"imports:\n  - https://example.com/types.yaml\n"),
    )
    assert [f.level for f in csar.verify(built.path)] == ["warning"]


def test_verify_warns_of_a_hash_that_glance_does_not_use(variants, disk_image):
    built = variants("tosca")
    sha256, sha512 = (getattr(hashlib, n)(disk_image.read_bytes()) for n in ("sha256", "sha512"))
    rewrite(
        built.path,
        "Definitions/private_registry_df_simple.yaml",
        lambda old: old.replace(b"sha-512", b"sha-256").replace(
            sha512.hexdigest().encode(), sha256.hexdigest().encode()
        ),
    )
    (finding,) = csar.verify(built.path)
    assert finding.level == "warning" and "SHA-512" in finding.message


def test_verify_finds_members_that_lead_out(variants):
    built = variants("basehot")
    link = zipfile.ZipInfo("Files/link")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(built.path, "a") as package:
        package.writestr("../outside", "x")
        package.writestr("/etc/outside", "x")
        package.writestr(link, "/etc/passwd")

    findings = {f.where: f.message for f in csar.verify(built.path)}

    assert set(findings) == {"../outside", "/etc/outside", "Files/link"}
    assert "symbolic link" in findings["Files/link"]


def test_verify_survives_damage(variants, tmp_path):
    built = variants("basehot")
    whole = bytearray(built.path.read_bytes())
    with zipfile.ZipFile(built.path) as package:
        offset = package.getinfo(DEFINITIONS).header_offset + 300
    whole[offset : offset + 64] = bytes(64)
    built.path.write_bytes(whole)
    assert any("is damaged" in f.message for f in csar.verify(built.path))

    (tmp_path / "no.zip").write_text("no zip")
    with pytest.raises(CsarError, match="cannot be read as a zip file"):
        csar.verify(tmp_path / "no.zip")
