# SPDX-License-Identifier: Apache-2.0
"""The form of the user guide's pages: what Sphinx does not judge."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tacker_cir.package import VnfPackage
from tacker_cir.params import private_registry, registry_override
from tacker_cir.params.k8s_cluster_schema import SCHEMA
from tacker_cir.params.private_registry_schema import SCHEMA as REGISTRY_SCHEMA
from tacker_cir.params.schema import find_faults
from tests.certificates import Authority
from tests.image_archives import Image, layer, layout_of, write

GUIDE = Path(__file__).resolve().parents[2] / "doc" / "source" / "user"
PAGES = sorted(GUIDE.glob("*.rst"))
LOGIN = {"ssh_cp_name": "CP1", "ssh_username": "ubuntu", "ssh_password": "ubuntu"}
_BLOCK = re.compile(
    r"^(?P<indent> *)\.\. code-block:: (?P<language>\S+)\n(?: +:caption: .*\n)?\n"
    r"(?P<body>(?:(?P=indent) +.*\n|\n)+)(?P<next>(?:.*\n){0,2})",
    re.MULTILINE,
)


def blocks(page: Path, language: str) -> list[re.Match[str]]:
    return [m for m in _BLOCK.finditer(page.read_text()) if m["language"] == language]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_says_its_language(page):
    bare = [line for line in page.read_text().splitlines() if re.search(r"(?<!\.\.)::$", line)]
    assert [line for line in bare if not line.lstrip().startswith(".. ")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_after_commands_stands_what_they_print(page):
    silent = [
        block["body"]
        for block in blocks(page, "bash")
        if not re.search(r"code-block:: text|[Pp]rints? ", block["next"])
    ]
    assert silent == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_prompt_stands_before_a_command(page):
    assert not any(re.search(r"^ *[$#] ", b["body"], re.MULTILINE) for b in blocks(page, "bash"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_scripts_are_clean(page):
    command = [Path(sys.prefix, "bin", "shellcheck"), "--shell=sh", "-"]
    for block in blocks(page, "sh"):
        text = textwrap.dedent(block["body"])
        done = subprocess.run(command, input=text, capture_output=True, text=True)
        assert done.stdout == ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_registries_in_json_are_of_the_right_form(page):
    schema = SCHEMA["properties"]["private_registry_connection_info"]
    for block in blocks(page, "json"):
        found = json.loads(block["body"])
        if "private_registry_connection_info" in found:
            registries = found["private_registry_connection_info"]
            assert list(find_faults(registries, schema, "registries")) == []


def documented(page: str, *within: str) -> list[str]:
    """Return the members that the tables of a page have a row for."""
    rows = re.findall(r"^   \* - (``.*``)$", (GUIDE / page).read_text(), re.MULTILINE)
    return [name for row in rows for name in re.findall(r"``(\w+)``", row) if name in within]


def test_every_parameter_has_one_row():
    names = REGISTRY_SCHEMA["properties"]
    assert sorted(documented("private-registry.rst", *names)) == sorted(names)
    registry = SCHEMA["properties"]["private_registry_connection_info"]["items"]
    names = registry["properties"]
    assert set(documented("kubernetes-parameters.rst", *names)) == set(names)


@pytest.fixture(scope="module")
def registry_package(tmp_path_factory):
    """What the examples of a registry name."""
    root = tmp_path_factory.mktemp("registry")
    certificate, key = Authority("of the guide").issue("registry.example.com")
    files = {"certificates/registry.crt": certificate, "certificates/registry.key": key,
             "keys/docker.asc": "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n"}  # fmt: skip
    for name, text in files.items():
        (root / "Files" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "Files" / name).write_text(text)
    (root / "Files/contents").mkdir()
    for name in ("app", "kube"):
        image = Image((f"{name}:1",), (layer(name, 100),))
        write(root / f"Files/contents/{name}.tar", layout_of(image))
    return VnfPackage(root)


def test_examples_of_a_registry_are_taken(registry_package):
    """As ``tacker-cir validate`` and ``tacker-cir registries`` judge them."""
    shown: set[str] = set()
    for page in ("private-registry.rst", "registry-volume.rst"):
        for block in blocks(GUIDE / page, "json"):
            found = json.loads(block["body"])
            members = found.get(private_registry.KEY, found)
            if "apt_repository" in found:
                members = {"docker_package": found}
            if not LOGIN.keys() & members.keys():
                request = {private_registry.KEY: {**LOGIN, **members}}
                assert private_registry.parse(request, registry_package)
                shown |= members.keys()
    assert shown >= {"tls", "users", "data_volume", "contents", "proxy_of", "upkeep"}
    for block in blocks(GUIDE / "private-registry.rst", "json"):
        members = json.loads(block["body"]).get(private_registry.KEY)
        if members:
            path = registry_override.PATH
            faults = registry_override.find_override_faults(members, registry_package, path)
            assert faults == []
