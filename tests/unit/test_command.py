# SPDX-License-Identifier: Apache-2.0
"""Commands, secrets and their masking."""

from __future__ import annotations

import dataclasses
import json
import shlex
import subprocess

import pytest

from tacker_cir.command import Command, Redactor, Secret, mask_userinfo, url_password

WORDS = ["", "a b", "it's", 'say "x"', "$HOME", "`id`", "$(id)", "a\nb", "\t", "\\", "*?[", "ä€😀",
         "-n", ";", "&&", "#", "~", "!x", "a=b", "{a,b}"]  # fmt: skip


def test_a_shell_gives_every_word_back_as_it_was():
    line = Command(("printf", "%s\\0", *WORDS), "test").line()
    for shell in ("sh", "bash"):
        done = subprocess.run([shell, "-c", line], capture_output=True, check=True)
        assert done.stdout.decode().split("\0")[:-1] == WORDS


def test_a_script_gets_its_arguments_as_parameters():
    command = Command.script("test", 'printf "%s|" "$@"', *WORDS)
    assert shlex.split(command.line()) == ["sh", "-c", 'printf "%s|" "$@"', "sh", *WORDS]
    done = subprocess.run(command.argv, capture_output=True, check=True, text=True)
    assert done.stdout == "".join(f"{word}|" for word in WORDS)


def test_a_secret_is_no_word_of_a_command():
    with pytest.raises(TypeError, match="must be a str, not Secret") as caught:
        Command(("login", Secret("MARK")), "test")  # type: ignore[arg-type]
    assert "MARK" not in str(caught.value)


def test_a_secret_does_not_show_itself():
    secret = Secret("MARK")

    @dataclasses.dataclass
    class Holder:
        value: Secret

    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r:>9}", "%s" % secret]  # noqa: UP031
    shown += [repr(Holder(secret)), repr([secret]), str({"a": secret})]
    assert not any("MARK" in text for text in shown)
    with pytest.raises(TypeError):
        json.dumps({"a": secret})
    with pytest.raises(TypeError):
        "x" + secret  # type: ignore[operator]
    assert secret.reveal() == "MARK"


def test_secrets_compare_by_value():
    assert Secret("a") == Secret("a") and len({Secret("a"), Secret("a")}) == 1
    assert Secret("a") != Secret("b") and Secret("a") != "a"


@pytest.mark.parametrize(
    ("secrets", "text", "expected"),
    [
        ([], "nothing to mask", "nothing to mask"),
        (["pw"], "user pw, again pw", "user ***, again ***"),
        (["pw", "pw-long"], "it is pw-long", "it is ***"),
        (["p%40ss"], "p%40ss or p@ss", "*** or ***"),
        (["line1\nline2\n"], "a line2 b line1", "a *** b ***"),
        (["*.["], "literally *.[", "literally ***"),
        ([""], "an empty one masks nothing", "an empty one masks nothing"),
    ],
)
def test_the_redactor_masks(secrets, text, expected):
    assert Redactor(Secret(secret) for secret in secrets)(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://user:pw@proxy:3128/", "http://***@proxy:3128/"),
        ("http://user:p@ss@proxy", "http://***@proxy"),
        ("https://token@host and http://a:b@c", "https://***@host and http://***@c"),
        ("http://host/path@tag", "http://host/path@tag"),
        ("mail me@example.org", "mail me@example.org"),
    ],
)
def test_logins_in_urls_are_masked(text, expected):
    assert mask_userinfo(text) == expected


def test_the_password_of_a_url():
    assert url_password("http://user:p%40ss@proxy:3128") == Secret("p%40ss")
    assert url_password("http://user@proxy") is None
    assert url_password("http://proxy") is None
