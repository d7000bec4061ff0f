# SPDX-License-Identifier: Apache-2.0
"""Names of hosts, registries, images and URLs, as strict as the strictest program that reads them.

Each of them is read by several programs (apt, Docker, containerd, kubeadm, the kubelet), which are
written in Go, C and C++ and do not agree about what is not in the RFCs.
"""

from __future__ import annotations

import ipaddress
import re

from tacker_cir import docker_hub

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
# A name in a site's own DNS, which a proxy may have.
_LOOSE_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)

_PORT = r"[1-9][0-9]{0,4}"
# RFC 3986, section 3.2.1; a colon stands between name and password.
_USER_CHARACTER = r"(?:[A-Za-z0-9._~!$&()*+,;=-]|%(?![01][0-9A-Fa-f]|7[Ff])[0-9A-Fa-f]{2})"
_NAME_CHARACTER = rf"(?!%3[Aa]){_USER_CHARACTER}"
_HOST = r"(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:]{2,39}\])"
_AUTHORITY = rf"{_HOST}(?::(?P<port>{_PORT}))?"
_PROXY = re.compile(rf"https?://(?:(?:{_NAME_CHARACTER})+(?::{_USER_CHARACTER}*)?@)?{_AUTHORITY}/?")
_SITE = re.compile(rf"https?://{_AUTHORITY}(?:/(?:{_USER_CHARACTER}|[:/])*)?")

# Grammar of distribution's reference package: [host[:port]/]name[:tag][@digest].
_COMPONENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_TAG = r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
#: ``name[:tag][@digest]``
IMAGE_PATTERN = rf"(?P<name>{_COMPONENT}(?:/{_COMPONENT})*){_TAG}"
_IMAGE = re.compile(IMAGE_PATTERN, re.ASCII)
#: Characters of an image's name, its registry included.
_IMAGE_NAME = 255

# Kubernetes' own since 1.21, of registry.k8s.io or whatever has it in its place.
_COREDNS = "coredns/coredns"

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


def is_proxy_url(text: str) -> bool:
    """Return whether a text is ``http[s]://[user[:password]@]host[:port]`` to Go's net/url, apt and
    curl, and one and the same to them."""
    return _has_authority(_PROXY.fullmatch(text))


def is_site_url(text: str) -> bool:
    """Return whether a text is ``http[s]://host[:port][/path]``, without user, query and
    fragment."""
    return _has_authority(_SITE.fullmatch(text))


def _has_authority(match: re.Match[str] | None) -> bool:
    return (
        match is not None
        and (match["port"] is None or int(match["port"]) <= 65535)
        and _is_host(match["host"].strip("[]"), bracketed=match["host"].startswith("["))
    )


def is_no_proxy_entry(text: str) -> bool:
    """Return whether an entry of ``no_proxy`` means something to Go's httpproxy: a host, host:port,
    address, network, domain (``.example``, ``*.example``) or ``*``."""
    if text == "*":
        return True
    if "%" in text:
        return False
    try:
        ipaddress.ip_network(text, strict=False)
        return text.partition("/")[2].isdigit() or "/" not in text
    except ValueError:
        pass
    match = re.fullmatch(rf"{_HOST}:(?P<port>{_PORT})", text)
    if match:
        return _has_authority(match)
    return _is_host(text.removeprefix("*").removeprefix("."), bracketed=False)


def _is_host(text: str, *, bracketed: bool) -> bool:
    labels = text.split(".")
    if bracketed or labels[-1].isdigit():
        try:
            return ipaddress.ip_address(text).version == (6 if bracketed else 4)
        except ValueError:
            return False
    return len(text) <= 253 and all(map(_LOOSE_LABEL.fullmatch, labels))


def split_image(text: str) -> tuple[str | None, str]:
    """Split an image reference into its registry, None for Docker Hub, and what follows.

    :raises ValueError: no reference, with what is expected instead
    """
    first, slash, rest = text.partition("/")
    server = None
    if slash and (first == "localhost" or set(first) & set(".:[")):
        split_server(first)
        server, text = first, rest
    check_image_name(server, text)
    return server, text


def familiar(image: str) -> str:
    """Return an image reference as Docker shows it, that of an image of Docker Hub without what
    Docker adds."""
    for registry in ("docker.io/", "index.docker.io/"):
        if image.startswith(registry):
            image = image.removeprefix(registry)
            return image.removeprefix("library/") if image.count("/") == 1 else image
    return image.removeprefix("library/") if image.count("/") == 1 else image


def places_in_registry(image: str) -> list[tuple[str, str | None]]:
    """Return where an image is in a registry that has it in place of its own registry: name and
    tag, None for the tag of one that is named by its digest only.

    A mirror is asked for the name without the registry. kubeadm looks for CoreDNS at the top of a
    repository of one's own, but one level deeper at its default: that image has both names.

    :param image: as Docker or containerd name it; without a registry it is one of Docker Hub
    :raises ValueError: no image's name, with what is expected instead
    """
    server, rest = split_image(image)
    name, at, _ = rest.partition("@")
    name, colon, tag = name.partition(":")
    if "/" not in name and server in (None, docker_hub.NAME, "index.docker.io"):
        name = f"library/{name}"
    names = [name, "coredns"] if name == _COREDNS else [name]
    return [(name, tag if colon else None if at else "latest") for name in names]


def check_image_name(server: str | None, text: str) -> None:
    """Refuse what no image of a registry can be called.

    :param text: ``name[:tag][@digest]``
    :raises ValueError: with what is expected instead
    """
    match = _IMAGE.fullmatch(text)
    if match is None:
        raise ValueError("expected name[:tag][@digest] after the registry, the name in lower case")
    if len(f"{server or ''}/{match['name']}") > _IMAGE_NAME:
        raise ValueError(f"expected an image's name of at most {_IMAGE_NAME} characters")
    if server is None and re.fullmatch("[0-9a-f]{64}", match["name"]):
        raise ValueError("expected a name, which an image's id is not")


def is_repository(text: str) -> bool:
    """Return whether a text may stand between a registry and an image's last name."""
    return re.fullmatch(rf"{_COMPONENT}(?:/{_COMPONENT})*", text, re.ASCII) is not None


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
