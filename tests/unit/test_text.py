# SPDX-License-Identifier: Apache-2.0
"""Text of others reaches a person as text, wherever it comes in."""

from __future__ import annotations

import logging
import unicodedata
from importlib import import_module
from pkgutil import walk_packages

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tacker_cir
from tacker_cir import exceptions as exc
from tacker_cir import log
from tacker_cir.text import printable

# Colours, a window's title, a link, a bell, a line of its own, a right-to-left override and
# isolate, an invisible space, a byte order mark, and half a character.
HOSTILE = (
    "\x1b[31m\x1b]0;title\x07\x1b]8;;http://x\x1b\\ok\r\nnode x: fine"
    "\u202egnp\u2066\u200b\ufeff\ud800"
)


def is_readable(text: str) -> bool:
    return text.isprintable()


def test_each_kind_of_character():
    assert printable("Grüße, 世界 ✓ #1") == "Grüße, 世界 ✓ #1"
    assert printable("a\tb\r\nc\u2028d\xa0e") == "a b  c d e"
    assert printable("\x1b[31mred") == "\\x1b[31mred"
    assert printable("\u202egnp.exe") == "\\u202egnp.exe"
    assert printable("\ud800") == "\\ud800"


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.text(alphabet=st.characters()))
def test_whatever_comes_in_can_be_read_and_written(text):
    shown = printable(text)
    assert is_readable(shown)
    shown.encode()
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in shown)
    assert printable(shown) == shown


ERRORS = [
    exc.TackerCirError(HOSTILE),
    exc.InvalidRequest([exc.Fault(HOSTILE, HOSTILE)]),
    exc.InvalidMetadata([exc.Fault(HOSTILE, HOSTILE)]),
    exc.InventoryError(HOSTILE),
    exc.HostError(HOSTILE, HOSTILE, HOSTILE, HOSTILE),
    exc.CommandFailed(HOSTILE, HOSTILE, HOSTILE, HOSTILE, exit_status=1, stderr=HOSTILE),
    exc.SeveralFailed([exc.ConnectError(HOSTILE, HOSTILE, HOSTILE, HOSTILE)] * 2),
    exc.VimError(HOSTILE),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_every_error(error):
    assert is_readable(str(error)) and "ok" in str(error)
    assert is_readable(repr(error))


def test_a_fault_by_itself():
    assert is_readable(str(exc.Fault(HOSTILE, HOSTILE)))


def test_no_error_of_ours_has_another_root():
    def below(kind):
        for child in kind.__subclasses__():
            yield child
            yield from below(child)

    for module in modules():
        import_module(module)
    told = {kind for kind in below(exc.TackerCirError) if kind.__module__.startswith("tacker_cir.")}
    assert len(told) > 15
    assert all(kind.__str__ is exc.TackerCirError.__str__ for kind in told)


def modules() -> list[str]:
    return [m.name for m in walk_packages(tacker_cir.__path__, "tacker_cir.")]


def test_every_logger_of_ours_and_that_of_the_ssh_library(caplog):
    caplog.set_level(logging.DEBUG)
    loggers = [vars(import_module(name)).get("LOG") for name in modules()]
    used = [logger for logger in loggers if logger is not None]
    assert len(used) > 20
    for logger in (*used, logging.getLogger("paramiko.transport")):
        caplog.clear()
        logger.warning("node %s: %s", HOSTILE, HOSTILE)
        (record,) = caplog.records
        assert is_readable(record.getMessage()) and "ok" in record.getMessage()


def test_a_logger_formats_as_usual(caplog):
    log.getLogger("tacker_cir.test").warning("%d of %s, %.1f %%", 1, ["a"], 2.0)
    assert caplog.messages == ["1 of ['a'], 2.0 %"]
