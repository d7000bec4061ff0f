# SPDX-License-Identifier: Apache-2.0
"""Logins at registries: ``auths`` of Docker's config.json, which the kubelet reads as well
(kubelet(1), "config.json" in its root directory)."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping
from typing import Any

from tacker_cir import docker_hub
from tacker_cir.documents import load_json


def basic_auth(username: str, password: str) -> str:
    """Return ``username:password`` in Base64 (RFC 7617, in UTF-8). It is as secret as the
    password."""
    return base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


def key(server: str) -> str:
    """Return the key of a registry in ``auths``.

    :param server: the registry as image names begin with it
    """
    return docker_hub.LOGIN_KEY if server == docker_hub.NAME else server


def merge(
    text: str | None, previous: Collection[str], wanted: Mapping[str, str]
) -> tuple[str | None, tuple[str, ...]]:
    """Set the wanted logins and take away those that we had set and that are wanted no longer.

    Where nothing changes, the text is returned as it is.

    :param text: the file as it is, None where there is none
    :param previous: the servers whose logins in the file are ours
    :param wanted: for each server what :func:`basic_auth` returns
    :return: the file as it shall be (None: no file), and the servers whose logins in it are ours,
        which are ``previous`` the next time. The same login set by somebody else does not become
        ours; another one is replaced
    :raises ValueError: the file is not what Docker reads; the message holds nothing of it
    """
    document = _parse(text)
    auths = dict(document.get("auths", {}))
    for server in set(previous) - set(wanted):
        auths.pop(key(server), None)
    ours = []
    for server, login in wanted.items():
        present = auths.get(key(server))
        same = isinstance(present, dict) and present.get("auth") == login
        if not same:
            auths[key(server)] = {"auth": login}
        if not same or server in previous:
            ours.append(server)
    changed = {name: value for name, value in document.items() if name != "auths" or auths}
    if auths:
        changed["auths"] = auths
    if changed == document:
        return text, tuple(ours)
    if not changed:
        return None, tuple(ours)
    return json.dumps(changed, indent=4, ensure_ascii=False) + "\n", tuple(ours)


def _parse(text: str | None) -> dict[str, Any]:
    if text is None or not text.strip():
        return {}
    try:
        document = load_json(text)
    except ValueError:
        raise ValueError("is not JSON") from None
    if not isinstance(document, dict) or not isinstance(document.get("auths", {}), dict):
        raise ValueError("is not a JSON object with an object 'auths'")
    return document
