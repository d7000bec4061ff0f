# SPDX-License-Identifier: Apache-2.0
"""What a registry is, and what it asks for: answers of real ones, and what only looks like them."""

from __future__ import annotations

import random
import time
import traceback

import pytest

from tacker_cir.registry.distribution import (
    Challenge,
    TokenServer,
    bearer_token,
    challenges,
    is_registry,
)
from tacker_cir.registry.from_node import Answer

VERSION = {"docker-distribution-api-version": "registry/2.0"}
JSON, HTML = {"content-type": "application/json"}, {"content-type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({**VERSION, **JSON}, "{}"),  # distribution, Harbor, GitLab, Nexus, Artifactory
        ({**VERSION, **HTML}, "true"),  # Quay
        (VERSION, ""),  # Gitea, zot, registry.k8s.io
        ({"docker-distribution-api-version": "registry/2.0, registry/2.0"}, ""),  # behind a proxy
        (JSON, "{}\n"),  # whose proxy takes the header away
        ({}, "{}"),
    ],
)
def test_registries(headers, body):
    assert is_registry(Answer(200, headers, body))


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, HTML, "<html>Sign in</html>"),
        (200, HTML, "{}"),
        (200, {"content-type": "text/plain"}, "OK"),
        (200, {}, ""),
        (200, JSON, '{"status": "ok"}'),
        (200, JSON, "[]"),
        (200, JSON, "true"),
        (200, {"docker-distribution-api-version": "registry/1.0"}, ""),
        (204, VERSION, ""),
        (206, VERSION, "{}"),
        (302, {**VERSION, "location": "/users/sign_in"}, ""),
        (404, VERSION, "{}"),
    ],
)
def test_what_is_no_registry(status, headers, body):
    assert not is_registry(Answer(status, headers, body))


BEARER = Challenge("bearer", {"realm": "https://r/token", "service": "a, b", "scope": "x"})
BASIC = Challenge("basic", {"realm": "x"})


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", []),
        ('Basic realm="x"', [BASIC]),
        ('BASIC REALM = "x"', [BASIC]),
        ("Basic realm=x", [BASIC]),
        ('Bearer realm="https://r/token",service="a, b",scope="x"', [BEARER]),
        # Two in one header, and two headers that were joined.
        (
            'Bearer realm="https://r/token",service="a, b", scope=x, Basic realm="x"',
            [BEARER, BASIC],
        ),
        ('Basic realm="x", Bearer realm="https://r/token",service="a, b",scope=x', [BASIC, BEARER]),
        (", ,Negotiate,, Basic realm=x,", [Challenge("negotiate", {}), BASIC]),
        ("Negotiate oRkwF6ADCgEBo==, Basic realm=x", [Challenge("negotiate", {}), BASIC]),
        (r'Basic realm="a \"b\" \\"', [Challenge("basic", {"realm": r'a "b" ' + "\\"})]),
        # What is not of the grammar ends it.
        ('Basic realm="x', [Challenge("basic", {})]),
        ('Basic realm="x";Bearer realm="y"', [BASIC]),
        ('="x"', []),
    ],
)
def test_challenges(header, found):
    assert challenges(header) == found


def test_challenges_take_time_that_grows_with_their_length_only():
    start = time.process_time()
    for part in ("a ", "a=", 'a="', "a b", ",", " ", "a a=b ", '"\\', "a" * 100 + " ", "a=b,"):
        challenges(part * (200_000 // len(part)))
    assert time.process_time() - start < 5


def test_challenges_of_noise():
    """2,000 headers of the grammar's own characters, seeded: each is read or left, none fails."""
    noise = random.Random(8)
    read = 0
    for _ in range(2000):
        text = "".join(noise.choices('Basic Bearer="\\,;realm\t\x00é:/', k=noise.randrange(80)))
        read += len(challenges(text))
    assert read > 300


@pytest.mark.parametrize(
    ("realm", "name", "target"),
    [
        ("https://r.example.com/token", "r.example.com", "/token?service=s&scope=c"),
        ("https://R.example.com:443?a=b", "r.example.com", "/?a=b&service=s&scope=c"),
        ("http://10.0.0.4:5001/t?", "10.0.0.4:5001", "/t?service=s&scope=c"),
        ("https://user:pw@[2001:db8::1]:8443/", "[2001:db8::1]:8443", "/?service=s&scope=c"),
    ],
)
def test_token_servers(realm, name, target):
    server = TokenServer.of(Challenge("bearer", {"realm": realm, "service": "s"}), "c")
    assert (server.name, server.target) == (name, target)


@pytest.mark.parametrize(
    "realm",
    ["", "/token", "ftp://r/token", "https://", "https:///token", "https://r:x/", "https://r:99999/",
     "https://[::1/", "https://-r/", "https://r/a b", "https://r/\x01", "https://r/\u00e9",
     "https://" + "a." * 200 + "b/", "file:///etc/shadow", "https://r\u0301/t"],
)  # fmt: skip
def test_realms_that_name_no_server(realm):
    with pytest.raises(ValueError):
        TokenServer.of(Challenge("bearer", {"realm": realm}), None)


@pytest.mark.parametrize(
    "body", ['{"token": "a.b-c_d~e+f/g="}', '{"access_token": "%s"}' % ("t" * 9000)]
)
def test_tokens(body):
    assert bearer_token(body) in body


@pytest.mark.parametrize(
    "body",
    ["", "null", "[]", "{}", '{"token": ""}', '{"token": 7}', '{"token": ["a"]}', '"token"',
     '{"token": "marked\\nX-Evil: 1"}', '{"token": "marked\\r"}', '{"token": "marked\\u0000"}',
     '{"token": "marked\\u00e9"}', '{"token": "marked\\ud800"}', '{"token": "%s"}' % ("m" * 40000),
     "[" * 100_000, '{"token": "marked"'],
)  # fmt: skip
def test_what_is_no_token_is_not_shown(body):
    with pytest.raises(ValueError) as caught:
        bearer_token(body)
    assert "marked" not in "".join(traceback.format_exception(caught.value))
