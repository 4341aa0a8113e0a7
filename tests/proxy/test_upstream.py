"""The database's side: encryption by sslmode, every way to log in, and what goes wrong."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from pydantic import SecretStr

from firewall import config, wire
from firewall.demo.postgres import SUPERUSER
from firewall.proxy import upstream
from tests.proxy.certificates import Certificates, certificates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from firewall.demo.postgres import EmbeddedPostgres

SslMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]
NOTHING = SecretStr("")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"), host="localhost")


@asynccontextmanager
async def encrypting(postgres: EmbeddedPostgres, made: Certificates) -> AsyncIterator[int]:
    """The port of a server that offers TLS as Postgres does, and the real one behind it.

    The wheel's Postgres is built without TLS; its answer to an SSLRequest and the TLS are ours here.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    pipes: set[asyncio.Task[None]] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(8)
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", postgres.port)
        if head == wire.SSLRequest().encode():
            writer.write(b"S")
            try:
                await writer.start_tls(context)
            except (ssl.SSLError, OSError):
                back_writer.close()
                return
        else:
            back_writer.write(head)
        for task in (pipe(reader, back_writer), pipe(back_reader, writer)):
            pipes.add(asyncio.create_task(task))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in pipes:
            task.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)


def database(
    port: int, sslmode: SslMode = "disable", *, host: str = "127.0.0.1", authority: Path | None = None
) -> config.Database:
    return config.Database(
        host=host,
        port=port,
        database="postgres",
        user=SUPERUSER,
        sslmode=sslmode,
        sslrootcert=authority,
        policy=Path("unused.yaml"),
    )


async def is_encrypted(postgres: EmbeddedPostgres, wanted: config.Database) -> bool:
    """Connect and run a query."""
    back = await upstream.connect(wanted, SecretStr(postgres.password), {})
    try:
        back.link.write(wire.Query("SELECT 1").encode())
        assert b"SELECT 1" in await back.link.read()
        return back.link.tls is not None and back.link.tls.version() == "TLSv1.3"
    finally:
        back.link.close()


@pytest.mark.parametrize(
    ("sslmode", "host", "encrypted"),
    [
        ("disable", "127.0.0.1", False),
        ("prefer", "127.0.0.1", True),
        ("require", "127.0.0.1", True),
        ("verify-ca", "127.0.0.1", True),
        ("verify-full", "localhost", True),
    ],
)
async def test_sslmode_against_a_server_with_tls(
    postgres: EmbeddedPostgres, made: Certificates, sslmode: SslMode, host: str, encrypted: bool
) -> None:
    async with encrypting(postgres, made) as port:
        wanted = database(port, sslmode, host=host, authority=made.authority)
        assert await is_encrypted(postgres, wanted) is encrypted


@pytest.mark.parametrize(("sslmode", "host"), [("verify-full", "127.0.0.1"), ("verify-ca", "127.0.0.1")])
async def test_a_server_that_cannot_prove_itself_is_refused(
    postgres: EmbeddedPostgres, made: Certificates, sslmode: SslMode, host: str, tmp_path: Path
) -> None:
    """verify-full: the certificate is another host's; verify-ca: another authority signed it."""
    authority = made.authority if sslmode == "verify-full" else certificates(tmp_path).authority
    async with encrypting(postgres, made) as port:
        wanted = database(port, sslmode, host=host, authority=authority)
        with pytest.raises(upstream.UpstreamRefused, match=r"cannot be talked to: TLS failed.*(?i:verify)"):
            await upstream.connect(wanted, NOTHING, {})


@pytest.mark.parametrize("sslmode", ["disable", "prefer"])
async def test_sslmode_against_a_server_without_tls(postgres: EmbeddedPostgres, sslmode: SslMode) -> None:
    assert not await is_encrypted(postgres, database(postgres.port, sslmode))


@pytest.mark.parametrize("sslmode", ["require", "verify-ca", "verify-full"])
async def test_a_server_without_tls_is_refused_where_tls_is_required(
    postgres: EmbeddedPostgres, made: Certificates, sslmode: SslMode
) -> None:
    with pytest.raises(upstream.UpstreamRefused, match="does not offer TLS") as raised:
        await upstream.connect(database(postgres.port, sslmode, authority=made.authority), NOTHING, {})
    assert sslmode in raised.value.message


async def test_a_wrong_password_keeps_its_sqlstate_and_no_secret(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(upstream.UpstreamRefused) as raised:
        await upstream.connect(database(postgres.port), SecretStr("never-this-one"), {})
    assert raised.value.sqlstate == "28P01"
    assert "never-this-one" not in str(raised.value)


async def test_a_password_that_is_needed_and_missing(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(upstream.UpstreamRefused, match="asks for a password") as raised:
        await upstream.connect(database(postgres.port), NOTHING, {})
    assert "password_file" in raised.value.hint


async def test_a_refusal_at_startup_keeps_its_sqlstate(postgres: EmbeddedPostgres) -> None:
    wanted = database(postgres.port).model_copy(update={"database": "no_such_database"})
    with pytest.raises(upstream.UpstreamRefused) as raised:
        await upstream.connect(wanted, SecretStr(postgres.password), {})
    assert raised.value.sqlstate == "3D000"


async def test_a_setting_that_postgres_refuses_keeps_its_sqlstate(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(upstream.UpstreamRefused) as raised:
        await upstream.connect(
            database(postgres.port), SecretStr(postgres.password), {"datestyle": "nonsense"}
        )
    assert raised.value.sqlstate == "22023"


async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(upstream.UpstreamRefused, match="cannot be reached") as raised:
            await upstream.connect(database(taken.getsockname()[1]), NOTHING, {})
    assert raised.value.sqlstate == "08001"


async def test_a_cancel_request_stops_what_runs(postgres: EmbeddedPostgres) -> None:
    back = await upstream.connect(database(postgres.port), SecretStr(postgres.password), {})
    back.link.write(wire.Query("SELECT pg_sleep(60)").encode())
    framer = wire.Framer(1 << 20)
    frames: list[wire.Frame] = []
    # before the query has begun a request finds nothing to stop, so ask until it has
    while not frames:
        await upstream.cancel(database(postgres.port), back.pid, back.key)
        try:
            async with asyncio.timeout(0.1):
                frames = framer.feed(await back.link.read())
        except TimeoutError:
            continue
    error = next(wire.ErrorResponse.decode(f.body) for f in frames if f.code == ord("E"))
    assert error.sqlstate == "57014"
    back.link.close()


async def test_a_cancel_request_without_key_or_server_is_no_news(postgres: EmbeddedPostgres) -> None:
    await upstream.cancel(database(postgres.port), 0, b"")
    await upstream.cancel(database(1), 1, b"abcd")


# --- ways to log in that no server of these tests is set up for, by a server of our own


READY = wire.AuthenticationOk().encode() + wire.BackendKeyData(7, b"abcd").encode()
READY += wire.ReadyForQuery("I").encode()


@asynccontextmanager
async def serving(
    play: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """The port of a server that reads a startup packet and goes on as `play` says."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(4))
        await reader.readexactly(length - 4)
        await play(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _password(reader: asyncio.StreamReader) -> str:
    header = await reader.readexactly(5)
    assert header[:1] == b"p"
    body = await reader.readexactly(int.from_bytes(header[1:]) - 4)
    return wire.PasswordMessage.decode(body).password


async def test_trust() -> None:
    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(READY)
        await writer.drain()

    async with serving(play) as port:
        back = await upstream.connect(database(port), NOTHING, {})
        assert (back.pid, back.key) == (7, b"abcd")


async def test_cleartext_password() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(wire.AuthenticationCleartextPassword().encode())
        assert await _password(reader) == "secret"
        writer.write(READY)
        await writer.drain()

    async with serving(play) as port:
        await upstream.connect(database(port), SecretStr("secret"), {})


async def test_md5_password() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(wire.AuthenticationMD5Password(b"salt").encode())
        inner = hashlib.md5(b"secret" + SUPERUSER.encode()).hexdigest().encode()
        assert await _password(reader) == "md5" + hashlib.md5(inner + b"salt").hexdigest()
        writer.write(READY)
        await writer.drain()

    async with serving(play) as port:
        await upstream.connect(database(port), SecretStr("secret"), {})


async def test_a_server_that_leaves_its_proof_out_is_not_trusted() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(wire.AuthenticationSASL(("SCRAM-SHA-256",)).encode())
        header = await reader.readexactly(5)
        await reader.readexactly(int.from_bytes(header[1:]) - 4)
        writer.write(READY)
        await writer.drain()

    async with serving(play) as port:
        with pytest.raises(upstream.UpstreamRefused, match="left its part of SCRAM out"):
            await upstream.connect(database(port), SecretStr("secret"), {})


async def test_what_a_server_says_behind_ready_for_query_is_kept() -> None:
    late = wire.notice(message="late").encode()

    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(READY + late + late[:7])
        await writer.drain()

    async with serving(play) as port:
        back = await upstream.connect(database(port), NOTHING, {})
        assert await back.link.read() == late + late[:7]


@pytest.mark.parametrize("answer", [b"E", b"SX", b"NN", b"\0"])
async def test_an_answer_to_the_ssl_request_that_is_none(answer: bytes) -> None:
    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    async with serving(play) as port:
        with pytest.raises(upstream.UpstreamRefused, match="malformed"):
            await upstream.connect(database(port, "prefer"), NOTHING, {})


async def test_a_server_that_hangs_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        return

    async with serving(play) as port:
        with pytest.raises(upstream.UpstreamRefused, match="closed the connection during login"):
            await upstream.connect(database(port), NOTHING, {})


async def test_a_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "CONNECT_SECONDS", 0.1)
    never = asyncio.Event()

    async def play(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await never.wait()

    async with serving(play) as port:
        with pytest.raises(upstream.UpstreamRefused, match="did not answer"):
            await upstream.connect(database(port), NOTHING, {})
    never.set()
