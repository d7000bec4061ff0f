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

from tacker_cir.params.k8s_cluster_schema import SCHEMA
from tacker_cir.params.schema import find_faults

PAGES = sorted((Path(__file__).resolve().parents[2] / "doc" / "source" / "user").glob("*.rst"))
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
