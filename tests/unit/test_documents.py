# SPDX-License-Identifier: Apache-2.0
"""JSON and YAML of others: plain data of a bounded size, or one kind of error."""

from __future__ import annotations

import time

import pytest

from tacker_cir.documents import (
    MAX_DEPTH,
    MAX_NODES,
    MAX_NUMBER,
    DocumentError,
    load_json,
    load_yaml,
    load_yaml_all,
)

# Every one of them makes PyYAML raise something else than its YAMLError.
ODD_VALUES = ["!!float ''", "!!int ''", "!!int :", "!!bool x", "!!timestamp ''", "2024-99-99",
              "!!int 0x", "2001-01-01T99:00:00", "2001-01-01 00:00:00 +99:99"]  # fmt: skip


@pytest.mark.parametrize("value", ODD_VALUES)
@pytest.mark.parametrize("form", ["{}", "a: {}", "- {}", "? {}\n: x"])
def test_a_value_that_does_not_fit_its_tag(value, form):
    with pytest.raises(DocumentError):
        load_yaml(form.format(value))


def test_what_yaml_is_for():
    text = "a: &a {x: 1, y: [1.5, true, ~]}\nb: {<<: *a, x: 2}\nc: *a\n"
    assert load_yaml(text) == {
        "a": {"x": 1, "y": [1.5, True, None]},
        "b": {"x": 2, "y": [1.5, True, None]},
        "c": {"x": 1, "y": [1.5, True, None]},
    }
    assert load_yaml_all("---\n---\na: 1\n") == [None, {"a": 1}]
    assert load_yaml("") is None and load_yaml_all("") == []


def _doubling(form: str) -> str:
    """Return a text of some hundred bytes that stands for 8 ** 20 nodes."""
    lines = ["a: &a {x: 1, y: 2}"]
    for index in range(20):
        name, before = chr(98 + index), chr(97 + index)
        aliases = ", ".join([f"*{before}"] * 8)
        lines.append(f"{name}: &{name} " + form.format(aliases))
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (_doubling("[{}]"), f"more than {MAX_NODES} nodes"),
        (_doubling("{{<<: [{}]}}"), f"more than {MAX_NODES} nodes"),
        ("&a [*a]", "an alias is inside of what it stands for"),
        ("&a {b: {c: *a}}", "an alias is inside of what it stands for"),
        ("[" * 300_000, "nest"),
        ("{a: " * 300_000, "nest"),
        ("- " * 300_000, "nest"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), f"deeper than {MAX_DEPTH} levels"),
        ("9" * 500_000, "a number is too long in line 1"),
        ("a: " + "1:" * 250_000 + "1", "a number is too long"),
        ("a: 0x" + "f" * 500_000, "a number is too long"),
        ("".join(f"{i * (2**61 - 1)}: x\n" for i in range(1, 20_000)), "a number is too large"),
        ("*a", "undefined alias"),
        ("a: b: c", "in line 1"),
        ("\0", "cannot be read"),
    ],
    ids=lambda value: value[:20],
)
def test_what_is_refused_at_once(text, problem):
    began = time.process_time()
    with pytest.raises(DocumentError, match=problem):
        load_yaml(text)
    with pytest.raises(DocumentError):
        load_yaml_all(text)
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    "text",
    ["", "{", "[NaN]", "[Infinity]", "[" * 200_000, "9" * 5000, "9" * (MAX_NUMBER + 1), b"\xff"],
)
def test_what_is_no_json(text):
    with pytest.raises(DocumentError):
        load_json(text)


def test_a_name_twice_in_one_object():
    assert load_json('{"a": 1, "a": 2}') == {"a": 2}
    with pytest.raises(DocumentError, match="an object has 'a' twice"):
        load_json('[{"a": 1, "b": 2, "a": 3}]', unique=True)
    assert load_json('[{"a": 1}, {"a": 2}]', unique=True) == [{"a": 1}, {"a": 2}]


def test_an_error_holds_nothing_of_a_value():
    for text in ("a: !!int MARK", "a: !!bool MARK", "a: !!timestamp MARK", 'x: "MARK'):
        with pytest.raises(DocumentError) as caught:
            load_yaml(text)
        assert "MARK" not in str(caught.value) and caught.value.__cause__ is None
    with pytest.raises(DocumentError) as caught:
        load_json('{"password": "MARK"')
    assert "MARK" not in str(caught.value)
