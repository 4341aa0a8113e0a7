"""The wire against real software: Postgres 18 as the server, libpq as the client."""

from __future__ import annotations

import datetime as dt
import select
import socket
import ssl
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from psycopg import conninfo, pq, sql

from firewall import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firewall.demo.postgres import EmbeddedPostgres

LIMIT = 1 << 20


class Server:
    """A conversation with a real server, one frame at a time; every frame seen is kept."""

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self.socket = socket.create_connection(("127.0.0.1", postgres.port), timeout=30)
        self.framer = wire.Framer(LIMIT)
        self.waiting: list[wire.Frame] = []
        self.seen: list[wire.Frame] = []

    def say(self, *messages) -> None:
        self.socket.sendall(b"".join(message.encode() for message in messages))

    def hear(self):
        while not self.waiting:
            data = self.socket.recv(7)  # frames come in pieces
            assert data, "the server closed the connection"
            self.waiting += self.framer.feed(data)
        frame = self.waiting.pop(0)
        self.seen.append(frame)
        return wire.decode_backend(frame)

    def until(self, kind: type) -> list:
        heard = [self.hear()]
        while not isinstance(heard[-1], kind):
            heard.append(self.hear())
        return heard

    def sign_in(self, password: str) -> list:
        offer = self.hear()
        assert offer == wire.AuthenticationSASL(("SCRAM-SHA-256",))
        client = wire.ScramClient(password, mechanisms=offer.mechanisms)
        self.say(wire.SASLInitialResponse(client.mechanism, client.first()))
        challenge = self.hear()
        if isinstance(challenge, wire.ErrorResponse):
            return [challenge]
        self.say(wire.SASLResponse(client.final(challenge.data)))
        outcome = self.hear()
        if isinstance(outcome, wire.ErrorResponse):
            return [outcome]
        client.verify(outcome.data)
        return self.until(wire.ReadyForQuery)


@contextmanager
def connected(postgres: EmbeddedPostgres, *, minor: int = 2, **parameters: str) -> Iterator[Server]:
    server = Server(postgres)
    with server.socket:
        given = {"user": "postgres", "database": "postgres"} | parameters
        server.say(wire.StartupMessage(3, minor, tuple(given.items())))
        yield server


def test_everything_that_postgres_says_is_read_and_written_as_it_was(postgres):
    with connected(postgres) as server:
        greeting = server.sign_in(postgres.password)
        (key,) = [message for message in greeting if isinstance(message, wire.BackendKeyData)]
        assert len(key.key) == wire.cancel_key_length(2)
        server.say(
            wire.Query(
                "create temp table t (a int, b text); listen c; notify c, 'é'; do $$begin raise 'x'; end$$"
            )
        )
        server.until(wire.ReadyForQuery)
        server.say(wire.Query("create temp table t (a int, b text); listen c; notify c, 'é'"), wire.Query(""))
        server.until(wire.ReadyForQuery)
        server.until(wire.ReadyForQuery)
        server.say(wire.Query("copy t from stdin"))
        server.until(wire.CopyInResponse)
        server.say(wire.CopyData(b"1\tone\n2\t\\N"), wire.CopyData(b"\n3\tthree\n"), wire.CopyDone())
        assert server.until(wire.ReadyForQuery)[0] == wire.CommandComplete("COPY 3")
        server.say(wire.Query("copy t to stdout; copy t from stdin; drop table if exists nowhere"))
        server.until(wire.CopyInResponse)
        server.say(wire.CopyFail("no more"))
        server.until(wire.ReadyForQuery)
        server.say(wire.Query("drop table if exists nowhere; set application_name = 'x'"))
        server.until(wire.ReadyForQuery)
        server.say(
            wire.Parse("s", "select a, b, 1 + $1 from t order by a", (23,)),
            wire.Describe("S", "s"),
            wire.Bind("p", "s", (1,), (struct.pack("!i", 41),), (0, 0, 1)),
            wire.Describe("P", "p"),
            wire.Execute("p", 2),
            wire.Execute("p"),
            wire.Close("P", "p"),
            wire.Parse("", "begin"),
            wire.Describe("S", ""),
            wire.Bind("", ""),
            wire.Execute(""),
            wire.Flush(),
            wire.Sync(),
        )
        heard = server.until(wire.ReadyForQuery)
        described = next(message for message in heard if isinstance(message, wire.RowDescription))
        assert [(field.name, field.column, field.type) for field in described.fields] == [
            *(("a", 1, 23), ("b", 2, 25), ("?column?", 0, 23)),
        ]
        assert described.fields[0].table == described.fields[1].table != 0
        rows = [message for message in heard if isinstance(message, wire.DataRow)]
        assert rows[1].values == (b"2", None, struct.pack("!i", 42))
        assert heard[-1] == wire.ReadyForQuery("T")
        server.say(wire.FunctionCall(1598, (), (), 0), wire.Query("nonsense"), wire.Terminate())
        failures = [
            message for message in server.until(wire.ErrorResponse)[-1:] if message.sqlstate == "42601"
        ]
        assert failures[0].position == 1
        server.until(wire.ReadyForQuery)
    for frame in server.seen:
        assert wire.decode_backend(frame).encode() == frame.raw
    kinds = {type(wire.decode_backend(frame)) for frame in server.seen}
    assert {wire.NotificationResponse, wire.PortalSuspended, wire.NoticeResponse, wire.NoData} <= kinds
    assert {wire.CopyOutResponse, wire.EmptyQueryResponse, wire.FunctionCallResponse} <= kinds


def test_negotiation_answers_as_postgres_does(postgres):
    option = "_pq_.test_protocol_negotiation"
    for minor in (0, 1, 2, 3, 9999):
        for parameters in ({}, {option: ""}):
            asked = wire.StartupMessage(3, minor, tuple(parameters.items()))
            with connected(postgres, minor=minor, **parameters) as server:
                said = server.hear()
                negotiated = said if isinstance(said, wire.NegotiateProtocolVersion) else None
                assert negotiated == wire.negotiate(asked)
                if negotiated is not None:
                    assert server.seen[0].raw == negotiated.encode()


@pytest.mark.parametrize(
    "options",
    [*("-c work_mem=5MB", "-cwork_mem=5MB", "--work-mem=5MB", r"-c work_mem=5\MB"), " -c\twork-mem=5MB"],
)
def test_options_mean_what_they_mean_to_postgres(postgres, options):
    assert wire.parse_options(options) == (("work_mem", "5MB"),)
    with connected(postgres, options=options) as server:
        server.sign_in(postgres.password)
        server.say(wire.Query("show work_mem"))
        (row,) = [said for said in server.until(wire.ReadyForQuery) if isinstance(said, wire.DataRow)]
        assert row.values == (b"5MB",)


def test_the_last_of_a_repeated_parameter_counts_in_postgres_too(postgres):
    server = Server(postgres)
    with server.socket:
        pairs = (("user", "nobody"), ("user", "postgres"), ("DateStyle", "SQL"), ("DateStyle", "German"))
        server.say(wire.StartupMessage(3, 0, pairs))
        server.sign_in(postgres.password)
        server.say(wire.Query("show datestyle"))
        (row,) = [said for said in server.until(wire.ReadyForQuery) if isinstance(said, wire.DataRow)]
        assert row.values is not None
        assert row.values[0].startswith(b"German")


def test_a_cancel_key_of_ours_is_taken(postgres):
    with connected(postgres) as server:
        (key,) = [said for said in server.sign_in(postgres.password) if isinstance(said, wire.BackendKeyData)]
        server.say(wire.Query("do $$begin raise notice 'running'; perform pg_sleep(60); end$$"))
        server.until(wire.NoticeResponse)
        with connected_for(postgres, wire.CancelRequest(key.pid, key.key)) as cancelling:
            assert cancelling.socket.recv(1) == b""
        (failure,) = [
            said for said in server.until(wire.ReadyForQuery) if isinstance(said, wire.ErrorResponse)
        ]
        assert failure.sqlstate == "57014"


@contextmanager
def connected_for(postgres: EmbeddedPostgres, request) -> Iterator[Server]:
    server = Server(postgres)
    with server.socket:
        server.say(request)
        yield server


PASSWORDS = (
    "pencil",
    "\u00ad",
    "pässword",
    "\u2168\u00ad",
    "a\u00a0b",
    "with\u0007bell",
    "\u0221",
    "شسa",
    " ",
    "x" * 900,
)


@pytest.mark.parametrize("password", PASSWORDS, ids=ascii)
def test_verifiers_are_postgres_own(postgres, password):
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute("drop role if exists scram_test")
        create = sql.SQL("create role scram_test login password {}")
        admin.execute(create.format(password))
        found = admin.execute("select rolpassword from pg_authid where rolname = 'scram_test'").fetchone()
        stored = wire.Verifier.parse(found[0])
        assert wire.Verifier.of(password, stored.salt, stored.iterations) == stored
        assert str(stored) == found[0]
        own = wire.Verifier.of(password, b"salt of our own!")
        admin.execute(sql.SQL("alter role scram_test password {}").format(str(own)))
        try:
            with connected(postgres, user="scram_test", minor=0) as server:
                greeting = server.sign_in(password)
                assert greeting[-1] == wire.ReadyForQuery("I")
            with connected(postgres, user="scram_test", minor=0) as server:
                (refusal,) = server.sign_in(password + "!")
                assert refusal.sqlstate == "28P01"
        finally:
            admin.execute("drop role scram_test")


class Door(threading.Thread):
    """Lets one libpq client in over loopback: start-up, then `ask`, then ready and the end."""

    def __init__(self, ask: Callable[[Door], None], tls: ssl.SSLContext | None = None) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ask = ask
        self.tls = tls
        self.framer = wire.Framer(LIMIT)
        self.startup = wire.StartupMessage(0, 0)
        self.failure: Exception | None = None
        self.start()

    def run(self) -> None:
        self.connection, _ = self.listener.accept()
        try:
            with self.listener, self.connection:
                self.connection.settimeout(30)
                self._greet()
                self.ask(self)
                key = wire.BackendKeyData(1, bytes(wire.cancel_key_length(wire.agreed_minor(self.startup))))
                self.say(wire.AuthenticationOk(), key, wire.ReadyForQuery("I"))
                while self.connection.recv(4096):
                    pass
                self.connection.close()
        except Exception as failure:  # noqa: BLE001  # handed to the test's own thread
            self.failure = failure

    def say(self, *messages) -> None:
        self.connection.sendall(b"".join(message.encode() for message in messages))

    def hear(self) -> wire.Frame:
        frames: list[wire.Frame] = []
        while not frames:
            data = self.connection.recv(4096)
            assert data, "the client left"
            frames = self.framer.feed(data)
        (frame,) = frames
        return frame

    def _greet(self) -> None:
        framer = wire.StartupFramer()
        while True:
            cut = framer.feed(self.connection.recv(16))
            match cut and wire.decode_startup(cut.raw):
                case None:
                    continue
                case wire.SSLRequest() if self.tls:
                    assert cut.rest == b""
                    self.connection.sendall(b"S")
                    self.connection = self.tls.wrap_socket(self.connection, server_side=True)
                case wire.StartupMessage() as startup:
                    self.startup = startup
                    break
                case _:
                    self.connection.sendall(b"N")
        answer = wire.negotiate(self.startup)
        if answer is not None:
            self.say(answer)


def scram_with(verifier: wire.Verifier, binding: bytes | None = None) -> Callable[[Door], None]:
    def ask(door: Door) -> None:
        door.say(wire.AuthenticationSASL(wire.offered(binding)))
        initial = wire.SASLInitialResponse.decode(door.hear().body)
        assert ("PLUS" in initial.mechanism) == (binding is not None)
        server = wire.ScramServer(verifier, mechanism=initial.mechanism, binding=binding)
        assert initial.data is not None
        door.say(wire.AuthenticationSASLContinue(server.first(initial.data)))
        answer = wire.SASLResponse.decode(door.hear().body)
        door.say(wire.AuthenticationSASLFinal(server.final(answer.data)))

    return ask


def knock(door: Door, password: str, **settings: str) -> pq.PGconn:
    given = {
        "host": "127.0.0.1",
        "port": str(door.port),
        "user": "agent",
        "dbname": "d",
        "password": password,
        "connect_timeout": "20",
        "gssencmode": "disable",
    }
    connection = pq.PGconn.connect_start(conninfo.make_conninfo("", **given | settings).encode())
    # not PQconnectdb: psycopg holds the interpreter's lock in it, and the door is in this process
    while (status := connection.connect_poll()) not in {pq.PollingStatus.OK, pq.PollingStatus.FAILED}:
        reading = [connection.socket] if status == pq.PollingStatus.READING else []
        writing = [connection.socket] if status == pq.PollingStatus.WRITING else []
        assert any(select.select(reading, writing, [], 20)), "the door does not answer"
    return connection


@pytest.mark.parametrize("password", PASSWORDS[:6], ids=ascii)
def test_libpq_signs_in_by_scram(password):
    door = Door(scram_with(wire.Verifier.of(password, b"0123456789abcdef")))
    connection = knock(door, password, sslmode="prefer", require_auth="scram-sha-256")
    assert connection.status == pq.ConnStatus.OK, connection.error_message
    connection.finish()
    door.join(20)
    assert door.failure is None
    assert door.startup.get("user") == "agent"


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384()], ids=lambda hashed: hashed.name)
def test_libpq_binds_to_our_certificate(tmp_path, algorithm):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    start = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + dt.timedelta(days=1))
    certificate = built.sign(key, algorithm)
    pem = tmp_path / "server.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    binding = wire.certificate_binding(certificate.public_bytes(Encoding.DER))
    door = Door(scram_with(wire.Verifier.of("pencil", b"0123456789abcdef"), binding), tls)
    connection = knock(door, "pencil", sslmode="require", channel_binding="require")
    assert connection.status == pq.ConnStatus.OK, connection.error_message
    connection.finish()
    door.join(20)
    assert door.failure is None


def test_libpq_with_the_wrong_password_does_not():
    door = Door(scram_with(wire.doomed("agent", b"secret")))
    connection = knock(door, "guess", sslmode="disable")
    assert connection.status == pq.ConnStatus.BAD
    connection.finish()
    door.join(20)
    assert isinstance(door.failure, wire.ScramFailed)


def test_libpq_accepts_the_negotiated_version():
    door = Door(lambda _: None)
    connection = knock(door, "", sslmode="disable", max_protocol_version="latest")
    assert connection.status == pq.ConnStatus.OK, connection.error_message
    connection.finish()
    door.join(20)
    assert door.failure is None
    assert wire.agreed_minor(door.startup) == 2


def test_the_md5_answer_is_libpqs():
    answers = []

    def ask(door: Door) -> None:
        door.say(wire.AuthenticationMD5Password(b"\0\xff\1s"))
        answers.append(wire.PasswordMessage.decode(door.hear().body).password)

    door = Door(ask)
    connection = knock(door, "pässword", sslmode="disable")
    assert connection.status == pq.ConnStatus.OK, connection.error_message
    connection.finish()
    door.join(20)
    assert answers == [wire.md5_response("agent", "pässword", b"\0\xff\1s")]
