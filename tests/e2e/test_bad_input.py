"""Bad input ends in a clear error with a fitting SQLSTATE; nothing unjudged is relayed, nothing is lost."""

from __future__ import annotations

import asyncio
import ssl
import struct
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from house import LOGIN, open_house, policy_text, prepare

from firewall import clock, credentials, wire
from firewall.errors import CatalogError, FirewallError

if TYPE_CHECKING:
    from pathlib import Path

    from house import House

    from firewall.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _refused(dsn: str) -> asyncpg.PostgresError:
    with pytest.raises(asyncpg.PostgresError) as raised:
        await asyncpg.connect(dsn)
    return raised.value


async def test_a_wrong_token_and_an_unknown_agent_are_told_the_same(house: House) -> None:
    wrong = await _refused(house.dsn().replace(house.token, "qfa_wrong"))
    unknown = await _refused(house.dsn().replace("shopper:", "nobody:"))
    assert (wrong.sqlstate, unknown.sqlstate) == ("28P01", "28P01")
    assert str(wrong).startswith('password authentication failed for user "shopper"')
    assert str(unknown) == str(wrong).replace("shopper", "nobody")
    whys = {r["agent"]: r["why"] for r in await house.records("session") if r["event"] == "refused"}
    assert whys["shopper"] == "wrong token"
    assert whys["nobody"] == "no such agent"


async def test_an_unknown_database_is_named(house: House) -> None:
    error = await _refused(house.dsn().removesuffix("shop") + "warehouse")
    assert error.sqlstate == "3D000"
    assert "warehouse" in str(error)


async def test_a_disabled_agent_is_turned_away(house: House) -> None:
    token = await credentials.add_agent(house.app.store, "retired", owner="x@example.com", issuer="operator")
    dsn = f"postgresql://retired:{token}@127.0.0.1:{house.app.port}/shop"
    await (await asyncpg.connect(dsn)).close()
    await credentials.switch_agent(house.app.store, "retired", disabled=True, by="operator")
    assert (await _refused(dsn)).sqlstate == "28P01"


async def test_a_startup_parameter_that_runs_code_is_refused(house: House) -> None:
    with pytest.raises(psycopg.OperationalError, match="session_preload_libraries"):
        await psycopg.AsyncConnection.connect(house.dsn(), options="-c session_preload_libraries=evil")


async def _raw(house: House, sent: bytes) -> bytes:
    """What the firewall answers to these bytes before it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.app.port)
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("sent", "sqlstate"),
    [
        (struct.pack("!II", 4, 0), "08P01"),
        (struct.pack("!II", 0xFFFFFFFF, 196608), "08P01"),
        (struct.pack("!II", 12, 196608) + b"user", "08P01"),
        (struct.pack("!II", 8, 131072), "0A000"),
        (wire.SSLRequest().encode() + b"slipped in", "08P01"),
        (wire.StartupMessage(3, 0, (("user", "a"), ("replication", "database"))).encode(), "0A000"),
        (b"GET / HTTP/1.1\r\n\r\n", "08P01"),
        (b"\x16\x03\x01\x00\x05hello", "08P01"),
    ],
)
async def test_broken_startups_end_in_one_error(house: House, sent: bytes, sqlstate: str) -> None:
    answer = await _raw(house, sent)
    [frame] = wire.Framer(65536).feed(answer)
    error = wire.ErrorResponse.decode(frame.body)
    assert (error.severity, error.sqlstate) == ("FATAL", sqlstate)


async def _signed_in(house: House) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A raw connection past the login."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.app.port)
    writer.write(wire.StartupMessage(3, 0, (("user", house.agent), ("database", "shop"))).encode())
    framer = wire.Framer(1 << 20)
    scram = wire.ScramClient(house.token)
    while data := await reader.read(65536):
        for frame in framer.feed(data):
            match wire.decode_backend(frame):
                case wire.AuthenticationSASL():
                    writer.write(wire.SASLInitialResponse(scram.mechanism, scram.first()).encode())
                case wire.AuthenticationSASLContinue(challenge):
                    writer.write(wire.SASLResponse(scram.final(challenge)).encode())
                case wire.ReadyForQuery():
                    return reader, writer
    raise AssertionError("the login did not end")


@pytest.mark.parametrize(
    ("sent", "sqlstate"),
    [
        (b"Q" + struct.pack("!I", 3), "08P01"),
        (b"Q" + struct.pack("!I", 0x7FFFFFFF), "54000"),
        (b"Q" + struct.pack("!I", 0xFFFFFFFF), "08P01"),
        (b"d" + struct.pack("!I", 0xFFFFFFFF), "08P01"),
        (b"?" + struct.pack("!I", 4), "08P01"),
        (b"B" + struct.pack("!I", 8) + b"\xff\xff\xff\xff", "08P01"),
    ],
)
async def test_broken_frames_end_the_session_and_are_recorded(
    house: House, sent: bytes, sqlstate: str
) -> None:
    faults = len(await house.records("fault"))
    reader, writer = await _signed_in(house)
    writer.write(sent)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    [frame] = wire.Framer(65536).feed(answer)
    assert wire.ErrorResponse.decode(frame.body).sqlstate == sqlstate
    async with asyncio.timeout(20):
        while len(await house.records("fault")) == faults:
            await asyncio.sleep(0.02)


async def test_invalid_utf8_costs_the_statement_and_not_the_session(house: House) -> None:
    reader, writer = await _signed_in(house)
    writer.write(b"Q" + struct.pack("!I", 4 + 12) + b"SELECT '\xff\xfe'\0")
    writer.write(wire.Query("SELECT 7").encode())
    framer = wire.Framer(1 << 20)
    codes = ""
    while codes.count("Z") < 2:
        for frame in framer.feed(await asyncio.wait_for(reader.read(65536), 20)):
            codes += chr(frame.code)
            if frame.code == ord("E"):
                assert wire.ErrorResponse.decode(frame.body).sqlstate == "22021"
    writer.close()
    assert codes == "EZTDCZ"


async def test_an_unreachable_database_stops_the_start(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    stopped = type(postgres)(tmp_path / "nothing")
    stopped.port = 1
    with pytest.raises(CatalogError, match=r"cannot be read from `127\.0\.0\.1:1`"):
        async with open_house(stopped, shop, tmp_path):
            pass


async def test_a_database_that_goes_away_is_a_clear_error(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    async with (
        open_house(postgres, shop, tmp_path) as house,
        await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection,
    ):
        with psycopg.connect(postgres.dsn(shop), autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = 'firewall_login' AND application_name = ''"
            )
        with pytest.raises(psycopg.errors.AdminShutdown):
            await connection.execute("SELECT 1")


async def test_a_broken_policy_is_placed(postgres: EmbeddedPostgres, shop: str, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(policy_text().replace("default: hold", "default: perhaps"))
    with pytest.raises(FirewallError, match=r"policy\.yaml:\d+:\d+: `default`"):
        async with open_house(postgres, shop, tmp_path):
            pass


async def test_a_catalog_that_is_denied_stops_statements_and_names_the_privilege(
    postgres: EmbeddedPostgres, database: str, tmp_path: Path
) -> None:
    prepare(postgres, database)
    async with open_house(postgres, database, tmp_path) as house:
        with psycopg.connect(postgres.dsn(database), autocommit=True) as admin:
            async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
                await connection.execute("SELECT 1")
                admin.execute("REVOKE SELECT ON pg_catalog.pg_trigger FROM PUBLIC")
                house.app.gates["shop"].outdate()
                for prepared in (False, True):
                    with pytest.raises(psycopg.Error, match="`pg_trigger` is not open") as raised:
                        await connection.execute("SELECT 2", prepare=prepared)
                    assert raised.value.sqlstate == "58000"
                    hint = raised.value.diag.message_hint or ""
                    assert f'`GRANT SELECT ON pg_catalog.pg_trigger TO "{LOGIN}"`' in hint
                # the session goes on as soon as it can
                admin.execute("GRANT SELECT ON pg_catalog.pg_trigger TO PUBLIC")
                assert await (await connection.execute("SELECT 3")).fetchone() == (3,)
        refused = await house.records("refusal")
        assert [record["sqlstate"] for record in refused] == ["58000", "58000"]


async def test_a_statement_of_ten_megabytes_is_refused_and_costs_no_more(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="may be 1 MiB long"):
            await connection.execute(f"SELECT '{'x' * 10_000_000}'")
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)


async def test_a_full_store_lets_nothing_pass_and_recovers(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    async with (
        open_house(postgres, shop, tmp_path) as house,
        await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection,
    ):
        append = house.app.store._writer.write

        async def full(*_: object) -> bool:
            from firewall.errors import StoreError  # noqa: PLC0415 — only here

            raise StoreError("the disk is full")

        house.app.store._writer.write = full  # type: ignore[method-assign]
        with pytest.raises(psycopg.Error, match="log could not be written") as raised:
            await connection.execute("SELECT 1")
        assert raised.value.sqlstate == "58030"
        house.app.store._writer.write = append  # type: ignore[method-assign]
        assert await (await connection.execute("SELECT 2")).fetchone() == (2,)


def _certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(clock.now() - timedelta(days=1))
        .not_valid_after(clock.now() + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "tls.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


async def test_tls_is_spoken_and_can_be_required(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    _certificate(tmp_path)
    tls = {"certificate": tmp_path / "tls.crt", "key": tmp_path / "tls.key"}
    listen = {"port": 0, "tls": tls, "require_tls": True}
    async with open_house(postgres, shop, tmp_path, listen=listen) as house:
        for options in ({"sslmode": "require"}, {"sslmode": "require", "channel_binding": "require"}):
            async with await psycopg.AsyncConnection.connect(house.dsn(**options)) as connection:
                assert connection.pgconn.ssl_in_use
                rows = await (await connection.execute("SELECT generate_series(1, 20000)")).fetchall()
                assert len(rows) == 20000
        connection = await asyncpg.connect(house.dsn(), ssl=ssl._create_unverified_context())
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
        with pytest.raises(psycopg.OperationalError, match="TLS connections only"):
            await psycopg.AsyncConnection.connect(house.dsn(sslmode="disable"))


async def test_observe_mode_relays_everything_and_records_the_verdict(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text(policy_text(mode="observe"))
    async with open_house(postgres, shop, tmp_path) as house:
        async with await psycopg.AsyncConnection.connect(house.dsn(), autocommit=True) as connection:
            await connection.execute("CREATE TABLE scratch (id int)")
            await connection.execute("INSERT INTO scratch SELECT generate_series(1, 3)")
            await connection.execute("DROP TABLE scratch")
        verdicts = [(r["verdict"], r["enforced"]) for r in await house.records("judgement")]
    assert verdicts == [("hold", False)] * 3
