# SPDX-License-Identifier: Apache-2.0
"""Names of hosts and of registries, as strict as the strictest program that reads them."""

from __future__ import annotations

import ipaddress
import re

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
# Linux' NAME_MAX: Docker and containerd keep a registry's files in a directory of its name.
_FILE_NAME = 255


def is_host_name(text: str) -> bool:
    """Return whether ``text`` is a DNS name (RFC 1123, section 2.1), and not an address."""
    labels = text.split(".")
    return (
        len(text) <= 253
        and all(_LABEL.fullmatch(label) for label in labels)
        # A name that ends in a number is an address, or a mistaken one.
        and not labels[-1].isdigit()
    )


def split_server(text: str) -> tuple[str, int | None]:
    """Split ``host[:port]`` of a registry as image names begin with it.

    :return: the host, an IPv6 address without its brackets, and the port
    :raises ValueError: with what is expected instead
    """
    if "://" in text:
        raise ValueError("expected host[:port] without http:// or https://")
    if "/" in text:
        raise ValueError("expected host[:port] without a path")
    if "@" in text:
        raise ValueError("expected host[:port] without a user and password")
    host, port = _split_port(text)
    if text.startswith("["):
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError("expected an IPv6 address in the brackets") from None
        if not re.fullmatch("[0-9A-Fa-f:]+", host):
            raise ValueError("expected an IPv6 address without zone, all in hexadecimal")
    elif ":" in host:
        raise ValueError("expected host[:port], an IPv6 address in brackets: [2001:db8::1]:5000")
    elif not is_host_name(host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise ValueError(
                "expected host[:port], the host a DNS name, an IPv4 address or an IPv6 address in "
                "brackets"
            ) from None
    elif port is None and "." not in host and host != "localhost":
        raise ValueError(
            f"expected host[:port] with a dot or a port: in the name of an image, {host}/... is "
            "a repository of Docker Hub"
        )
    # containerd looks first for a directory whose name is one character longer: host_port_.
    if len(text) + (port is not None) > _FILE_NAME:
        raise ValueError(f"expected host[:port] of at most {_FILE_NAME - 1} characters")
    return host, port


def _split_port(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("expected an IPv6 address in brackets: [2001:db8::1]:5000")
        colon, port = rest[:1], rest[1:]
    elif text.count(":") > 1:
        return text, None
    else:
        host, colon, port = text.partition(":")
    if not colon:
        return host, None
    if not re.fullmatch("[1-9][0-9]{0,4}", port) or int(port) > 65535:
        raise ValueError("expected a port number after the host, 1 to 65535")
    return host, int(port)
