# SPDX-License-Identifier: Apache-2.0
"""Nobody waits for ever and nobody fills the conductor, whoever answers."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import paramiko
import pytest

from tacker_cir import exceptions as exc
from tacker_cir import ssh
from tacker_cir.command import Command, Redactor, Secret
from tacker_cir.host.runtimes import RUNTIMES
from tacker_cir.hostkeys import AcceptAny
from tacker_cir.inventory import Node
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.registry import from_node, visit
from tacker_cir.registry.serving import Access, wait_until_serving
from tacker_cir.registry.verify import verify_access
from tacker_cir.waiting import Deadline
from tests.certificates import Authority
from tests.functional.hostile import (
    ADDRESS,
    ANSWERS,
    GOOD,
    RAW_MANNERS,
    THOROUGH,
    HostileSshd,
    Memory,
    Registry,
)
from tests.machine import limits, machine

MB = 1024 * 1024
#: Seconds in which everything here is over, on a machine that has much else to do.
SOON = 20


@pytest.fixture
def hostile() -> Iterator[Callable[..., Registry]]:
    with contextlib.ExitStack() as stack:

        def start(answer: Callable[[], Iterator[bytes]], tls: ssl.SSLContext | None = None):
            registry = Registry(answer, tls)
            stack.callback(registry.close)
            return registry

        yield start


@pytest.fixture
def soon(monkeypatch) -> None:
    """Let questions, and what belongs together, take some seconds only."""
    monkeypatch.setattr(visit, "REQUEST_TIMEOUT", 3)
    monkeypatch.setattr(visit, "VISIT_TIMEOUT", 4)


def verify(connection: ssh.Connection, *registries: RegistryConnection) -> str:
    """Return what the user reads, "" where nothing is wrong."""
    try:
        asked = machine(connection, registry_timeout=0.1, image_timeout=5)
        verify_access(asked, registries, runtime=RUNTIMES["containerd"])
    except exc.HostError as error:
        return str(error)
    return ""


def is_given_up(said: str) -> bool:
    """Return whether a registry was given up, be it that a busy machine never got at it."""
    return "HTTP" in said or "(no answer for " in said


def all_at_once(names: Iterable[str], work: Callable[[str], float]) -> None:
    """Do something for each name; fails for the first that fails, and tells how long they took."""
    # Well below sshd's MaxSessions.
    with ThreadPoolExecutor(4) as pool:
        futures = {name: pool.submit(work, name) for name in names}
    seconds = {name: future.result() for name, future in futures.items()}
    print(f"{len(seconds)} in at most {max(seconds.values()):.1f} s: {', '.join(seconds)}")


def test_answers_without_an_end(sshd, dial, hostile, soon):
    connection = dial(sshd)
    connection.identity()
    said: dict[str, str] = {}

    def ask(name: str) -> float:
        registry = hostile(ANSWERS[name])
        start = time.monotonic()
        said[name] = verify(
            connection, RegistryConnection(f"{ADDRESS}:{registry.port}", https=False)
        )
        return time.monotonic() - start

    with Memory() as memory:
        all_at_once(ANSWERS, ask)
    assert memory.grown < 100 * MB
    for name, text in said.items():
        assert is_given_up(text) and len(text) < 1000, name
    assert connection.transport.is_active()


def test_a_registry_of_ours_without_an_end(sshd, dial, hostile):
    connection = dial(sshd)

    def ask(name: str) -> float:
        port = hostile(ANSWERS[name]).port
        start = time.monotonic()
        with pytest.raises(exc.HostError, match="no HTTP 200"):
            asked = machine(connection, service_timeout=1)
            wait_until_serving(asked, Node("CP1", ADDRESS, ADDRESS, "server-1"), Access(port))
        seconds = time.monotonic() - start
        assert seconds < SOON
        return seconds

    names = ["silence", "a byte at a time", "100 Continue", "a body", "trailers", "a page"]
    all_at_once(names, ask)


def context_of(
    authority: Authority, tmp_path, clients: ssl.VerifyMode = ssl.CERT_NONE
) -> ssl.SSLContext:
    pair = tmp_path / "pair.pem"
    pair.write_text("\n".join(authority.issue(ADDRESS)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    context.verify_mode = clients
    if clients:
        context.load_verify_locations(cadata=authority.pem)
    return context


def test_tls_without_an_end(sshd, dial, hostile, soon, tmp_path):
    authority = Authority("right")
    connection = dial(sshd)
    for name in ("a byte at a time", "100 Continue", "long header lines"):
        registry = hostile(ANSWERS[name], context_of(authority, tmp_path))
        start = time.monotonic()
        said = verify(
            connection,
            RegistryConnection(f"{ADDRESS}:{registry.port}", https=True, ca=authority.pem),
        )
        assert is_given_up(said) and time.monotonic() - start < SOON


def test_no_node_waits_for_another_one_with_its_certificates(sshd, dial, hostile, tmp_path):
    """One node is slow to tell what it trusts; the others are through meanwhile."""
    authority = Authority("right")
    at = hostile(lambda: iter([GOOD]), context_of(authority, tmp_path))
    registry = RegistryConnection(f"{ADDRESS}:{at.port}", https=True)
    release, done = threading.Event(), []

    def quick() -> visit.Trust:
        return visit.Trust(authority.pem)

    def visit_as(trust: Callable[[], visit.Trust]) -> None:
        visit.Visit(dial(sshd), registry, trust).check()
        done.append(trust)

    def slow() -> visit.Trust:
        assert release.wait(30)
        return quick()

    nodes = [threading.Thread(target=visit_as, args=(slow,))]
    nodes += [threading.Thread(target=visit_as, args=(quick,)) for _ in range(4)]
    for node in nodes:
        node.start()
    for node in nodes[1:]:
        node.join(20)
    assert done == [quick] * 4 and len(at.asked) == 4
    release.set()
    nodes[0].join(20)
    assert len(done) == 5


def test_damaged_answers(monkeypatch):
    """300 good answers, cut, doubled and changed, seeded: each is a registry or a fault."""
    noise = random.Random(20)

    @contextlib.contextmanager
    def dial(_connection, _host, _port, timeout):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(damaged(noise))
            theirs.shutdown(socket.SHUT_WR)
            yield from_node.Stream(ours, Deadline(timeout))

    monkeypatch.setattr(from_node, "dial", dial)
    registry = RegistryConnection("registry.example.com", https=False)

    class Connection:
        node, redactor = "CP1", Redactor()

        class transport:
            is_active = staticmethod(lambda: True)

    outcomes = {"registry": 0, "fault": 0}
    for _ in range(300 * THOROUGH):
        try:
            visit.Visit(Connection(), registry, visit.Trust).check()
            outcomes["registry"] += 1
        except visit.AccessFault as fault:
            assert len(str(fault)) < 500
            outcomes["fault"] += 1
    assert min(outcomes.values()) > 20 * THOROUGH
    print(f"{sum(outcomes.values())} answers: {outcomes}")


def damaged(noise: random.Random) -> bytes:
    """Return an answer that is good but for some bytes."""
    data = bytearray(GOOD if noise.random() < 0.7 else UNAUTHORIZED)
    for _ in range(noise.randrange(4)):
        at = noise.randrange(len(data))
        kind = noise.randrange(4)
        if kind == 0:
            del data[at:]
        elif kind == 1:
            data[at:at] = data[noise.randrange(len(data)) :]
        elif kind == 2:
            data[at] = noise.randrange(256)
        else:
            data[at:at] = noise.choice([b"\r\n", b"\0", b": ", b"\xff", b'"', b",", b"9" * 30])
        if not data:
            break
    return bytes(data)


UNAUTHORIZED = (
    b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n"
    b'WWW-Authenticate: Bearer realm="http://registry.example.com/token",service="x"\r\n'
    b'WWW-Authenticate: Basic realm="x"\r\n\r\n'
)


@pytest.fixture
def bad_sshd() -> Iterator[Callable[[str], HostileSshd]]:
    with contextlib.ExitStack() as stack:

        def start(manner: str) -> HostileSshd:
            server = HostileSshd(manner)
            stack.callback(server.close)
            return server

        yield start


def connect(server: HostileSshd, **settings: float) -> ssh.Connection:
    times = {
        "ssh_wait_timeout": 0.1,
        "ssh_connect_timeout": 1,
        "ssh_auth_timeout": 0,
        "command_timeout": 2,
    }
    return ssh.connect(
        "CP1",
        ADDRESS,
        ssh.Credentials("root", Secret("marked-password")),
        AcceptAny("CP1", "the test"),
        redactor=Redactor(),
        limits=limits(**{**times, **settings}),
        port=server.port,
    )


def test_machines_that_never_let_in(bad_sshd):
    def log_in(manner: str) -> float:
        server = bad_sshd(manner)
        start = time.monotonic()
        with pytest.raises(exc.ConnectError) as caught:
            connect(server)
        assert "marked" not in str(caught.value) and len(str(caught.value)) < 1000
        seconds = time.monotonic() - start
        assert seconds < SOON
        return seconds

    with Memory() as memory:
        all_at_once(
            [*RAW_MANNERS, "a login that is never answered", "a login that is never enough"], log_in
        )
    assert memory.grown < 100 * MB


@pytest.mark.parametrize("small", [True, False])
def test_a_connection_that_breaks_before_all_of_the_output_is_here(bad_sshd, small):
    """The command has ended well, and half of what it said is not what it said."""
    stdin = b"" if small else b"x" * 100_000
    with connect(bad_sshd("an end before that of the output")) as connection:
        with pytest.raises(exc.ConnectionLost, match="the SSH connection broke"):
            connection.run(Command(("true",), "look"), stdin=stdin, root=False)


@pytest.mark.parametrize("manner", ["stdout", "stderr", "both", "an unknown stream"])
def test_a_machine_that_ignores_the_window(bad_sshd, short_grace, manner):
    """It is sent away long before it has sent what fills the conductor."""
    server = bad_sshd(manner)
    with connect(server) as connection, Memory() as memory:
        start = time.monotonic()
        with pytest.raises((from_node.NotConnected, paramiko.SSHException, EOFError, OSError)):
            with from_node.dial(connection, ADDRESS, 9, 2):
                raise AssertionError("connected")
        assert time.monotonic() - start < SOON
        assert memory.grown < 30 * MB
    with connect(server) as connection, Memory() as memory:
        with pytest.raises((exc.ConnectionLost, exc.CommandTimeout)):
            connection.run(Command(("true",), "test"), root=False, timeout=2)
        assert memory.grown < 40 * MB


def test_machines_that_never_answer(bad_sshd, short_grace, monkeypatch):
    monkeypatch.setattr(from_node, "GRACE", 1)
    nothing = (from_node.NotConnected, paramiko.SSHException, EOFError, OSError)

    def ask(manner: str) -> float:
        server = bad_sshd(manner)
        start = time.monotonic()
        with connect(server) as connection, pytest.raises(nothing):
            with from_node.dial(connection, ADDRESS, 9, 1):
                raise AssertionError("connected")
        with connect(server) as connection, pytest.raises(exc.HostError):
            connection.run(Command(("true",), "test"), root=False, timeout=1)
        seconds = time.monotonic() - start
        assert seconds < SOON
        return seconds

    manners = ["a channel that is never opened", "a command that is never answered"]
    manners += ["output that drips", "output without an end", "no end"]
    with Memory() as memory:
        all_at_once(manners, ask)
    assert memory.grown < 100 * MB


def test_a_machine_that_fills_the_log(bad_sshd, short_grace, caplog):
    caplog.set_level("INFO")
    with pytest.raises(exc.ConnectError):
        connect(bad_sshd("greetings without an end"), ssh_connect_timeout=3)
    with connect(bad_sshd("messages without a meaning")) as connection:
        with pytest.raises(exc.HostError):
            connection.run(Command(("true",), "test"), root=False, timeout=5)
    assert 100 < len(caplog.records) < 600
    assert sum(len(record.getMessage()) for record in caplog.records) < MB


def test_credentials_stay_with_whom_they_are_for(sshd, dial, hostile, soon):
    """A registry names other hosts in each way that it has; none of them sees login or token."""
    connection = dial(sshd)
    thief = hostile(lambda: iter([GOOD]))
    at = f"http://{ADDRESS}:{thief.port}"
    answers = [
        f'401 Unauthorized\r\nWWW-Authenticate: Bearer realm="{at}/token"',
        f"302 Found\r\nLocation: {at}/v2/",
        f"307 Temporary Redirect\r\nLocation: {at}/v2/",
        f'401 Unauthorized\r\nLocation: {at}\r\nWWW-Authenticate: Basic realm="{at}"',
        f"200 OK\r\nRefresh: 0; url={at}\r\nContent-Type: text/html",
    ]
    for answer in answers:
        data = f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n".encode()
        registry = hostile(lambda data=data: iter([data]))
        info = RegistryConnection(f"{ADDRESS}:{registry.port}", https=False)
        said = verify(connection, replace(info, username="u", password=Secret("marked-password")))
        assert "HTTP" in said or "token" in said
        assert "marked" not in said
        assert any(b"Authorization: Basic" in asked for asked in registry.asked)
    assert thief.asked == []


def test_a_token_server_that_the_request_names(sshd, dial, hostile):
    """It, and only it, gets the login; a token that is none goes nowhere and is not shown."""
    connection = dial(sshd)
    tokens: list[bytes] = [b'{"token": "marked\\nX-Evil: 1"}', b'{"token": "good"}']

    def give() -> Iterator[bytes]:
        body = tokens.pop(0)
        yield b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    server = hostile(give)

    def want() -> Iterator[bytes]:
        if b"Bearer good" in registry.asked[-1]:
            yield GOOD
        else:
            realm = f"http://{ADDRESS}:{server.port}/token"
            yield (
                f'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm="{realm}"\r\n'
                "Content-Length: 0\r\n\r\n"
            ).encode()

    registry = hostile(want)
    info = RegistryConnection(
        f"{ADDRESS}:{registry.port}", https=False, username="u", password=Secret("secret word")
    )
    said = verify(connection, info)
    assert f'give token_server "{ADDRESS}:{server.port}"' in said and server.asked == []
    info = replace(info, token_server=f"{ADDRESS}:{server.port}")
    said = verify(connection, info)
    assert "none is to be had" in said and "marked" not in said
    assert verify(connection, info) == ""
    assert all(b"Authorization: Basic" in asked for asked in server.asked)


def test_a_server_that_tells_what_it_was_told(sshd, dial, hostile, monkeypatch):
    """Login and token come back in status line, header, host name and redirect; none is shown."""
    password, token = "marked-password", "marked-token"
    info = RegistryConnection("", https=False, username="u", password=Secret(password))
    connection = dial(sshd, redactor=Redactor([Secret(password), info.login]))

    def talk() -> Iterator[bytes]:
        asked = registry.asked[-1]
        if b"GET /token" in asked:
            yield answer("200 OK", f'{{"token": "{token}"}}')
        elif token.encode() in asked or not tokens:
            yield way
        else:
            realm = f"http://{ADDRESS}:{registry.port}/token"
            yield answer("401 No", "", f'WWW-Authenticate: Bearer realm="{realm}"')

    for secret in (password, info.login.reveal(), token):
        tokens = secret == token
        for way in (
            f"{secret}\r\n\r\n".encode(),
            answer("302 Found", "", f"Location: http://x/{secret}"),
            answer("200 OK", "", f"Content-Type: text/{secret}"),
            answer("401 No", "", f'WWW-Authenticate: Bearer realm="http://{secret}.org/"'),
            answer("401 No", "", f"WWW-Authenticate: {secret}"),
        ):
            registry = hostile(talk)
            said = verify(connection, replace(info, server=f"{ADDRESS}:{registry.port}"))
            assert said and secret not in said, way


def answer(status: str, body: str = "", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", body]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize("joined", ["\r\nWWW-Authenticate: ", ", "])
@pytest.mark.parametrize("order", [1, -1])
def test_a_registry_that_asks_in_several_ways(sshd, dial, hostile, joined, order):
    """Two headers as Gitea sends, and several challenges in one; anybody gets a token."""

    def talk() -> Iterator[bytes]:
        if b"GET /token" in registry.asked[-1]:
            yield answer("200 OK", '{"token": "good"}')
        elif b"Bearer good" in registry.asked[-1]:
            yield GOOD
        else:
            ways = [f'Bearer realm="http://{ADDRESS}:{registry.port}/token"', 'Basic realm="x, y"']
            yield answer("401 No", "", f"WWW-Authenticate: {joined.join(ways[::order])}")

    registry = hostile(talk)
    assert verify(dial(sshd), RegistryConnection(f"{ADDRESS}:{registry.port}", https=False)) == ""


def test_what_is_for_the_registry_alone(sshd, dial, hostile, tmp_path):
    """Another host does not see the client's certificate, nor is it believed unseen."""
    authority, wrong = Authority("right"), Authority("wrong")
    connection = dial(sshd)
    server = hostile(
        lambda: iter([answer("200 OK", '{"token": "good"}')]),
        context_of(authority, tmp_path, ssl.CERT_OPTIONAL),
    )
    impostor = hostile(lambda: iter([GOOD]), context_of(wrong, tmp_path, ssl.CERT_OPTIONAL))
    plain = hostile(lambda: iter([GOOD]))
    realm = [f"https://{ADDRESS}:{server.port}/token"]

    def talk() -> Iterator[bytes]:
        if b"Bearer good" in registry.asked[-1]:
            yield GOOD
        else:
            yield answer("401 No", "", f'WWW-Authenticate: Bearer realm="{realm[0]}"')

    registry = hostile(talk, context_of(authority, tmp_path, ssl.CERT_REQUIRED))
    certificate, key = authority.issue("node", client=True)
    info = RegistryConnection(
        f"{ADDRESS}:{registry.port}",
        https=True,
        username="u",
        password=Secret("marked-password"),
        client_certificate=certificate,
        client_key=Secret(key),
        ca=authority.pem,
        token_server=f"{ADDRESS}:{server.port}",
    )
    assert verify(connection, info) == ""
    assert all(registry.shown) and server.shown == [{}]
    # Who accepts any certificate of the registry does not accept any of another host.
    realm[0] = f"https://{ADDRESS}:{impostor.port}/token"
    anything = replace(info, skip_verify=True, ca=None)
    for named in (f"{ADDRESS}:{impostor.port}", None):
        login = {} if named else {"username": None, "password": None}
        said = verify(connection, replace(anything, token_server=named, **login))
        assert "is refused" in said and "skip_verify counts for the registry itself" in said
    # A login that went over TLS does not go on in clear.
    realm[0] = f"http://{ADDRESS}:{plain.port}/token"
    said = verify(connection, replace(info, token_server=f"{ADDRESS}:{plain.port}"))
    assert "it speaks HTTPS, but its token server" in said
    assert impostor.asked == plain.asked == []
