# SPDX-License-Identifier: Apache-2.0
"""Registries in a VNF instance's metadata."""

from __future__ import annotations

import json

import pytest

from tacker_cir.exceptions import Fault, InvalidRequest
from tacker_cir.params import registry_metadata

KEY = "private_registry_connection_info"
ONE = {"connection_type": "0", "server": "192.0.2.1:5000"}
TWO = {"connection_type": "0", "server": "192.0.2.2:5000"}


def test_none_is_given():
    assert registry_metadata.read({}) is None
    assert registry_metadata.read({"other": "x", f"{KEY}_x": "[]", f"x{KEY}": "[]"}) is None


def test_an_empty_list_takes_all_registries_away():
    assert registry_metadata.read({KEY: "[]"}) == []


def test_a_long_list_comes_in_parts():
    metadata = {f"{KEY}_10": json.dumps([ONE]), f"{KEY}_2": json.dumps([TWO]), KEY: "[]"}
    assert registry_metadata.read(metadata) == [TWO, ONE]


@pytest.mark.parametrize("size", [1, 7, 40])
def test_a_list_may_be_divided_anywhere(size):
    text = json.dumps([ONE, {**TWO, "certificate_path": "-----BEGIN CERTIFICATE-----\nMIIB\n"}])
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    metadata = {f"{KEY}_{number}": piece for number, piece in enumerate(pieces, 1)}
    assert registry_metadata.read(metadata) == json.loads(text)


def test_a_divided_list_without_one_of_its_parts_is_refused():
    text = json.dumps([ONE, {**ONE, "server": "abcdef.example.com"}])
    cut = text.index("abc"), text.index("def")
    metadata = {KEY: text[: cut[0]], f"{KEY}_2": text[slice(*cut)], f"{KEY}_3": text[cut[1] :]}
    assert registry_metadata.read(metadata) == json.loads(text)
    del metadata[f"{KEY}_2"]
    with pytest.raises(InvalidRequest) as caught:
        registry_metadata.read(metadata)
    assert [f.path for f in caught.value.faults] == [f"metadata.{KEY}", f"metadata.{KEY}_3"]


@pytest.mark.parametrize("value", ["hunter2", '{"password": "hunter2"}', "", None, 7])
def test_what_is_no_list_is_refused_and_not_shown(value):
    with pytest.raises(InvalidRequest) as caught:
        registry_metadata.read({KEY: value})
    (fault,) = caught.value.faults
    assert fault.path == f"metadata.{KEY}"
    assert "hunter2" not in str(caught.value)
    assert "the VNF instance's metadata do not fit, no node was changed" in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ((KEY, f"{KEY}_1"), f"metadata.{KEY}_1: is the same part of the list as {KEY}"),
        ((f"{KEY}_1", KEY), f"metadata.{KEY}: is the same part of the list as {KEY}_1"),
        ((KEY, f"{KEY}_01"), f"metadata.{KEY}_01: is not read; expected {KEY}, {KEY}_2"),
        ((KEY, f"{KEY}_0"), f"metadata.{KEY}_0: is not read"),
        ((KEY, f"{KEY}2"), f"metadata.{KEY}2: is not read"),
        ((KEY, f"{KEY}-2"), f"metadata.{KEY}-2: is not read"),
        ((KEY, f"{KEY}_"), f"metadata.{KEY}_: is not read"),
        ((KEY, f" {KEY}"), f"metadata. {KEY}: is not read"),
        ((KEY, f"{KEY}_12345"), f"metadata.{KEY}_12345: is not read"),
        ((KEY, f"{KEY}_" + "9" * 5000), "is not read"),
        ((KEY.upper(),), f"metadata.{KEY.upper()}: is not read"),
    ],
    ids=lambda value: str(value)[-60:],
)
def test_no_list_is_dropped_without_a_word(keys, fault):
    with pytest.raises(InvalidRequest) as caught:
        registry_metadata.read({key: json.dumps([ONE]) for key in keys})
    assert fault in str(caught.value)


def test_a_member_given_twice_is_refused():
    text = '[{"connection_type": "0", "server": "a.b", "server": "c.d", "password": "hunter2"}]'
    with pytest.raises(InvalidRequest, match="an object has 'server' twice") as caught:
        registry_metadata.read({f"{KEY}_2": text})
    assert caught.value.faults[0].path == f"metadata.{KEY}_2"
    assert "hunter2" not in str(caught.value)


def test_faults_are_told_where_the_user_finds_them():
    faults = [
        Fault(f"additionalParams.k.{KEY}[1].server", "a"),
        Fault("additionalParams.k.vim_name", "b"),
    ]
    assert registry_metadata.relocated(faults, "additionalParams.k") == [
        Fault(f"metadata.{KEY}[1].server", "a"),
        Fault("additionalParams.k.vim_name", "b"),
    ]
