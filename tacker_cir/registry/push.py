# SPDX-License-Identifier: Apache-2.0
"""Blobs and manifests into a registry (OCI distribution specification, "Push").

One connection serves many questions, and another one takes its place where it ends. Whatever the
registry answers, it is asked and shown the login only at the address that it was given with.
"""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import paramiko

from tacker_cir.command import Secret
from tacker_cir.exceptions import ConnectionLost, HostError
from tacker_cir.image_contents.manifests import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Manifest,
)
from tacker_cir.registry.from_node import KEEP_BODY, Answer, Exchange, Stream
from tacker_cir.text import shown
from tacker_cir.waiting import Deadline

#: Seconds for a question with which nothing is sent.
QUESTION = 60
#: Characters that an error shows of what a registry says.
SAID = 300

_ACCEPT = ", ".join((OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_INDEX))
_LOOK = "look at 'docker logs private_registry' of the VM"
_RETRY = "the operation can be retried, it goes on where this one stopped"
_REMEDIES = {
    401: "give the login of one of the registry's users",
    403: "check the user's rights",
    405: "wait until it takes images again: while it is cleaned up it does not, and as a proxy_of "
    "another one it never does",
    500: "check the free disk space of the VM, and " + _LOOK,
    507: "check the free disk space of the VM",
}

# What http.client sends as it is. Brackets, which urlsplit() does not always take, are none of it.
_TARGET = re.compile(
    r"[\x21-\x5a\x5c\x5e-\x7e]*|https?://\[[0-9A-Fa-f:]+\][\x21-\x5a\x5c\x5e-\x7e]*"
)
_UPLOAD = re.compile(r"/blobs/uploads/([0-9a-f-]{36})(?:\?|\Z)")
# What a connection ends with, whoever ended it.
_BREAKS = (http.client.HTTPException, EOFError, OSError, paramiko.SSHException)

Dial = Callable[[], AbstractContextManager[Stream]]


@dataclass(frozen=True)
class Place:
    """A registry and how it is reached.

    :param node: the machine, for errors
    :param host: address, for the Host header and the certificate
    :param dial: opens a connection to it
    :param tls: None for plain HTTP
    :param authorization: value of the Authorization header
    :param masked: returns a text of the registry without what is secret
    :param take_away: takes an upload's remains away where the registry itself does not, told the
        repository and the upload's identifier
    :param prove_alive: raises paramiko.SSHException where the machine it is reached through is gone
    """

    node: str
    host: str
    port: int
    dial: Dial
    tls: ssl.SSLContext | None = None
    authorization: Secret | None = None
    masked: Callable[[str], str] = str
    take_away: Callable[[str, str], None] = lambda repository, upload: None
    prove_alive: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Body:
    """What is sent with a question.

    :param portions: of ``size`` bytes together
    """

    portions: Iterable[bytes]
    size: int
    media_type: str = "application/octet-stream"


class Registry:
    """A registry that is asked over connections that stay.

    :param deadline: for all that is done with it
    """

    def __init__(self, place: Place, deadline: Deadline):
        self._place, self._deadline = place, deadline
        self._open = ExitStack()
        self._stream: Stream | None = None
        self._exchange: Exchange | None = None

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hang_up()

    def blob_size(self, repository: str, digest: str) -> int | None:
        """Return how many bytes of a blob a repository has, None where it has it not.

        :raises HostError: the registry does not tell
        """
        step = f"look for {digest[:19]} in {repository}"
        headers = self._look(step, f"/v2/{repository}/blobs/{digest}")
        if headers is None:
            return None
        length = headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else -1

    def mount(self, repository: str, digest: str, source: str) -> bool:
        """Let a repository have a blob of another one, and return whether it has it now.

        :raises HostError: the registry refuses
        """
        step = f"mount {digest[:19]} into {repository}"
        query = urlencode({"mount": digest, "from": source})
        answer = self._ask(step, "POST", f"/v2/{repository}/blobs/uploads/?{query}")
        self._expect(step, answer, 201, 202)
        if answer.status == 202:
            self._cancel(step, answer)
        return answer.status == 201

    def upload(self, repository: str, digest: str, body: Body) -> None:
        """Send a blob.

        :raises HostError: the registry refuses it, or the connection breaks
        """
        step = f"push {digest[:19]} into {repository}"
        begun = self._ask(step, "POST", f"/v2/{repository}/blobs/uploads/")
        self._expect(step, begun, 202)
        target = self._location(step, begun)
        query = urlencode({"digest": digest})
        try:
            whole = f"{target}{'&' if '?' in target else '?'}{query}"
            answer = self._ask(step, "PUT", whole, body=body)
            self._expect(step, answer, 201)
        except BaseException as error:
            self._give_up(repository, target, error)
            raise

    def manifest_digest(self, repository: str, reference: str) -> str | None:
        """Return the digest that a tag stands for, None where there is no such tag.

        :raises HostError: the registry does not tell
        """
        step = f"look for {repository}:{reference}"
        headers = self._look(step, f"/v2/{repository}/manifests/{quote(reference)}")
        return None if headers is None else headers.get("docker-content-digest", "")

    def put_manifest(self, repository: str, reference: str, manifest: Manifest) -> None:
        """Write a manifest, whose blobs are there, and ask for it again.

        :param reference: tag or digest
        :raises HostError: the registry refuses it, or has another one then
        """
        step = f"push the manifest of {repository}:{reference}"
        path = f"/v2/{repository}/manifests/"
        body = Body((manifest.content,), len(manifest.content), manifest.media_type)
        self._expect(step, self._ask(step, "PUT", path + quote(reference), body=body), 201)
        kept = self._ask(step, "GET", path + manifest.digest)
        self._expect(step, kept, 200)
        sent = manifest.content[:KEEP_BODY].decode("utf-8", "replace")
        if kept.body != sent or self.manifest_digest(repository, reference) != manifest.digest:
            raise self._error(step, "the registry has another manifest than the one sent", _LOOK)

    def _look(self, step: str, target: str) -> Mapping[str, str] | None:
        """Return what the registry tells of something, None where it has it not."""
        answer = self._ask(step, "HEAD", target)
        if answer.status == 404:
            return None
        self._expect(step, answer, 200)
        return answer.headers

    def _ask(self, step: str, method: str, target: str, body: Body | None = None) -> Answer:
        is_fresh = self._exchange is None
        try:
            return self._ask_once(method, target, body)
        except _BREAKS as error:
            self._hang_up()
            if is_fresh or body is not None or isinstance(error, TimeoutError):
                raise self._broken(step, error) from None
        # A server may end a connection that nothing goes over at any time.
        return self._ask(step, method, target)

    def _ask_once(self, method: str, target: str, body: Body | None) -> Answer:
        if self._stream is None or self._exchange is None:
            self._connect()
        assert self._stream is not None and self._exchange is not None
        limit = self._deadline.remaining if body else QUESTION
        self._stream.begin(self._deadline.within(limit))
        headers = {"Accept": _ACCEPT, **self._login}
        if body:
            headers["Content-Type"] = body.media_type
        size = body.size if body else 0 if method in ("POST", "PUT") else None
        answer = self._exchange.ask(method, target, headers, body.portions if body else (), size)
        if not self._exchange.stays:
            self._hang_up()
        return answer

    @property
    def _login(self) -> Mapping[str, str]:
        authorization = self._place.authorization
        return {"Authorization": authorization.reveal()} if authorization else {}

    def _connect(self) -> None:
        place = self._place
        self._stream = self._open.enter_context(place.dial())
        self._stream.begin(self._deadline.within(QUESTION))
        self._exchange = Exchange(self._stream, place.host, place.port, place.tls)

    def _hang_up(self) -> None:
        self._stream = self._exchange = None
        self._open.close()

    def _expect(self, step: str, answer: Answer, *statuses: int) -> None:
        if answer.status in statuses:
            return
        said = shown(self._place.masked(answer.body), SAID)
        cause = f"the registry answers HTTP {answer.status}{f' ({said})' if said else ''}"
        raise self._error(step, cause, _REMEDIES.get(answer.status, _LOOK))

    def _location(self, step: str, answer: Answer) -> str:
        """Return where an upload goes on: a path of this registry."""
        location = answer.headers.get("location", "")
        with suppress(ValueError):
            url = urlsplit(location)
            is_target = _TARGET.fullmatch(location) and url.path.startswith("/")
            if is_target and self._is_here(url):
                return f"{url.path}?{url.query}" if url.query else url.path
        raise self._error(
            step,
            "the registry wants the upload to go elsewhere: "
            + shown(self._place.masked(location or "nowhere"), 100),
            "look at the registry's settings (REGISTRY_HTTP_HOST); nothing was sent there",
        )

    def _is_here(self, url: SplitResult) -> bool:
        """Return whether a URL leads to this registry.

        :raises ValueError: it has no port that is one
        """
        if not url.scheme and not url.netloc:
            return True
        place = self._place
        scheme, standard = ("https", 443) if place.tls else ("http", 80)
        here = (scheme, place.host.lower(), place.port)
        return (url.scheme, url.hostname, url.port or standard) == here

    def _give_up(self, repository: str, target: str, error: BaseException) -> None:
        """Have what was sent of a blob taken away: a full disk would stay full."""
        self._hang_up()
        if isinstance(error, ConnectionLost) or not isinstance(error, Exception):
            return
        try:
            if self._ask_once("DELETE", target, None).status == 204:
                return
        except _BREAKS:
            self._hang_up()
        # distribution takes no upload away of which it has got more than the question tells.
        upload = _UPLOAD.search(target)
        if upload:
            self._place.take_away(repository, upload[1])

    def _cancel(self, step: str, answer: Answer) -> None:
        self._ask(step, "DELETE", self._location(step, answer))

    def _broken(self, step: str, error: Exception) -> HostError:
        if isinstance(error, TimeoutError):
            if self._deadline.expired:
                cause = f"it took longer than {self._deadline.seconds:.0f} seconds"
                return self._error(step, cause, f"raise [tacker_cir] image_timeout; {_RETRY}")
            return self._error(step, f"no whole answer for {QUESTION} seconds", _LOOK)
        said = shown(self._place.masked(str(error)), SAID) or type(error).__name__
        try:
            self._place.prove_alive()
        except paramiko.SSHException:
            cause = f"the SSH connection broke ({said})"
            return ConnectionLost(self._place.node, step, cause, _RETRY)
        return self._error(step, f"the connection to the registry broke ({said})", _LOOK)

    def _error(self, step: str, cause: str, remedy: str) -> HostError:
        return HostError(self._place.node, step, cause, remedy)
