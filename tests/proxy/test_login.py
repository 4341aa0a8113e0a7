"""The first minute of a client, spoken by hand."""

from __future__ import annotations

import asyncio
import ssl
import struct
from typing import TYPE_CHECKING

import pytest

from firewall import credentials, wire
from tests.e2e.house import open_house
from tests.proxy.client import Client, client_tls

if TYPE_CHECKING:
    from pathlib import Path

    from firewall.demo.postgres import EmbeddedPostgres
    from tests.e2e.house import House
    from tests.proxy.certificates import Certificates

pytestmark = pytest.mark.asyncio(loop_scope="session")

SSL, GSS = wire.SSLRequest().encode(), wire.GSSENCRequest().encode()


def ready(messages: list[wire.BackendMessage]) -> bool:
    return isinstance(messages[-1], wire.ReadyForQuery)


async def test_a_token_opens_the_door(house: House) -> None:
    async with await Client.connect(house.app.port) as client:
        messages = await client.log_in(house.agent, house.token)
        assert ready(messages)
        keys = [message.key for message in messages if isinstance(message, wire.BackendKeyData)]
        assert [len(key) for key in keys] == [4]


async def test_a_client_of_3_2_gets_a_long_key(house: House) -> None:
    async with await Client.connect(house.app.port) as client:
        messages = await client.log_in(house.agent, house.token, minor=2)
        assert [len(m.key) for m in messages if isinstance(m, wire.BackendKeyData)] == [32]


async def test_a_newer_protocol_is_negotiated_down(house: House) -> None:
    async with await Client.connect(house.app.port) as client:
        messages = await client.log_in(house.agent, house.token, minor=9999)
        negotiated = [m for m in messages if isinstance(m, wire.NegotiateProtocolVersion)]
        assert len(negotiated) == 1
        assert ready(messages)


@pytest.mark.parametrize("order", [(SSL,), (GSS, SSL), (SSL, GSS)])
async def test_encryption_is_asked_for_in_any_order(
    house: House, made: Certificates, order: tuple[bytes, ...]
) -> None:
    async with await Client.connect(house.app.port) as client:
        for request in order:
            client.send(request)
            answer = await client.take(1)
            assert answer == (b"S" if request is SSL else b"N")
            if request is SSL:
                await client.start_tls(client_tls(made))
        assert ready(await client.log_in(house.agent, house.token))


async def test_direct_tls(house: House, made: Certificates) -> None:
    async with await Client.connect(house.app.port, client_tls(made, "postgresql")) as client:
        assert ready(await client.log_in(house.agent, house.token))


async def test_channel_binding(house: House, made: Certificates) -> None:
    binding = wire.certificate_binding(ssl.PEM_cert_to_DER_cert(made.certificate.read_text()))
    async with await Client.connect(house.app.port, client_tls(made, "postgresql")) as client:
        assert ready(await client.log_in(house.agent, house.token, binding=binding))
    async with await Client.connect(house.app.port, client_tls(made, "postgresql")) as client:
        refused = (await client.log_in(house.agent, house.token, binding=b"x" * 32))[-1]
        assert isinstance(refused, wire.ErrorResponse)
        assert refused.sqlstate == "28000"


@pytest.mark.parametrize("alpn", ["", "http/1.1"])
async def test_direct_tls_without_its_alpn_is_refused(house: House, made: Certificates, alpn: str) -> None:
    async with await Client.connect(house.app.port, client_tls(made, alpn)) as client:
        assert "ALPN" in (await client.error()).message


async def test_alpn_behind_a_request_for_tls_is_not_asked_for(house: House, made: Certificates) -> None:
    """Nobody sends SSLRequest who believes to speak to something else than Postgres."""
    async with await Client.connect(house.app.port) as client:
        client.send(SSL)
        assert await client.take(1) == b"S"
        await client.start_tls(client_tls(made, "http/1.1"))
        assert ready(await client.log_in(house.agent, house.token))


@pytest.mark.parametrize("request_", [SSL, GSS])
async def test_plaintext_behind_a_request_for_encryption_is_refused(house: House, request_: bytes) -> None:
    async with await Client.connect(house.app.port) as client:
        client.send(request_, wire.StartupMessage(3, 0, (("user", house.agent),)).encode())
        assert "unencrypted data after" in (await client.error()).message


async def test_tls_inside_tls_is_refused(house: House, made: Certificates) -> None:
    async with await Client.connect(house.app.port, client_tls(made, "postgresql")) as client:
        client.send(b"\x16\x03\x01\x00\x05hello")
        assert "TLS inside TLS" in (await client.error()).message


async def test_too_many_requests_are_refused(house: House) -> None:
    async with await Client.connect(house.app.port) as client:
        for _ in range(4):
            client.send(GSS)
            assert await client.take(1) == b"N"
        assert "too many" in (await client.error()).message


async def test_a_wrong_token_an_unknown_and_a_disabled_agent_hear_the_same(house: House) -> None:
    store = house.app.store
    disabled = await credentials.add_agent(store, "disabled", owner="ola@example.com", issuer="operator")
    await store.set_agent("disabled", [], disabled=True)
    old = "its token"
    verifier = str(wire.Verifier.of(old, b"s" * wire.SALT_LENGTH))
    past = "2001-01-01T00:00:00.000000Z"
    await store.add_agent("old", "ola@example.com", "operator", verifier, [], valid_until=past)
    heard = set()
    for name, token in ((house.agent, "wrong"), ("nobody", "wrong"), ("disabled", disabled), ("old", old)):
        async with await Client.connect(house.app.port) as client:
            refused = (await client.log_in(name, token))[-1]
            assert isinstance(refused, wire.ErrorResponse)
            heard.add(tuple(text.replace(name, "NAME") for _, text in refused.fields))
    assert len(heard) == 1
    assert "28P01" in heard.pop()


async def _challenge(house: House, name: str) -> tuple[str, str]:
    """Salt and iterations that this name is met with."""
    async with await Client.connect(house.app.port) as client:
        client.send(wire.StartupMessage(3, 0, (("user", name),)).encode())
        asked = await client.message()
        assert isinstance(asked, wire.AuthenticationSASL)
        client.send(wire.SASLInitialResponse("SCRAM-SHA-256", b"n,,n=,r=abcdefgh").encode())
        challenge = await client.message()
        assert isinstance(challenge, wire.AuthenticationSASLContinue)
        fields = dict(field.split("=", 1) for field in challenge.data.decode().split(","))
        return fields["s"], fields["i"]


async def test_an_unknown_agent_has_one_salt_like_a_known_one(house: House) -> None:
    unknown = await _challenge(house, "nobody")
    assert await _challenge(house, "nobody") == unknown
    assert await _challenge(house, "someone") != unknown
    known = await _challenge(house, house.agent)
    assert (len(known[0]), known[1]) == (len(unknown[0]), unknown[1])


async def test_what_a_stranger_tried_is_recorded_without_its_token(house: House) -> None:
    async with await Client.connect(house.app.port) as client:
        await client.log_in("stranger", "a-token-of-no-use")
    records = [r for r in await house.records("session") if r["agent"] == "stranger"]
    assert [(r["event"], r["why"]) for r in records] == [("refused", "no such agent")]
    assert "a-token-of-no-use" not in str(await house.records())


@pytest.mark.parametrize(
    ("sent", "sqlstate"),
    [
        (struct.pack("!I", 7), "08P01"),
        (struct.pack("!I", 0x7FFFFFFF), "08P01"),
        (struct.pack("!I", 20_000), "08P01"),
        (b"GET / HTTP/1.0\r\n\r\n", "08P01"),
        (wire.StartupMessage(2, 0).encode(), "0A000"),
        (wire.StartupMessage(3, 0, (("database", "shop"),)).encode(), "28000"),
        (wire.StartupMessage(3, 0, (("user", "a"), ("replication", "database"))).encode(), "0A000"),
        (wire.StartupMessage(3, 0, (("user", "a"), ("options", "-c role=x"))).encode(), "42501"),
    ],
)
async def test_what_is_no_startup_packet_is_refused(house: House, sent: bytes, sqlstate: str) -> None:
    async with await Client.connect(house.app.port) as client:
        client.send(sent)
        assert (await client.error()).sqlstate == sqlstate


@pytest.mark.parametrize(
    "answer",
    [
        wire.Query("SELECT 1").encode(),
        b"p" + struct.pack("!I", 1_000_000),
        b"p" + struct.pack("!I", 0xFFFF_FFFF),
        wire.SASLInitialResponse("PLAIN", b"x").encode(),
        wire.SASLInitialResponse("SCRAM-SHA-256", None).encode(),
        wire.SASLInitialResponse("SCRAM-SHA-256", b"x" * 5000).encode(),
        wire.SASLInitialResponse("SCRAM-SHA-256", b"n,a=admin,n=,r=abc").encode(),
        wire.SASLInitialResponse("SCRAM-SHA-256", b"n,,n=,r=abcdefgh").encode() * 2,
    ],
)
async def test_a_malformed_sign_in_is_refused(house: House, answer: bytes) -> None:
    async with await Client.connect(house.app.port) as client:
        client.send(wire.StartupMessage(3, 0, (("user", "a"),)).encode())
        await client.message()
        client.send(answer)
        assert (await client.error()).severity == "FATAL"


async def test_a_flood_before_the_sign_in_is_refused_and_recorded(
    postgres: EmbeddedPostgres, shop: str, tmp_path: Path
) -> None:
    """More than is read ahead, at once and without an end."""
    async with open_house(postgres, shop, tmp_path) as house:
        for before in (b"", wire.StartupMessage(3, 0, (("user", "flood"),)).encode()):
            async with await Client.connect(house.app.port) as client:
                client.send(before, b"x" * (1 << 20))
                # bytes that nobody reads make the system drop what was said last; not that it is over
                assert len(await client.take(1000)) < 1000
        async with asyncio.timeout(10):
            while len(found := await house.records("session")) < 2:
                await asyncio.sleep(0.01)
    assert [(r["event"], r["agent"]) for r in found] == [("refused", ""), ("refused", "flood")]


_TRIED = wire.StartupMessage(3, 0, (("user", "tried"),)).encode()
BAD = {
    "plaintext after SSLRequest": (SSL + _TRIED, "unencrypted data after"),
    "plaintext after GSSENCRequest": (GSS + _TRIED, "unencrypted data after"),
    "truncated direct TLS": (b"\x16\x03\x01\x02\x00\x01\x00", "handshake"),
    "TLS that is none": (b"\x16\x03\x01\x00\x05hello", "TLS failed"),
    "4 GiB of startup": (b"\xff\xff\xff\xff", "invalid length"),
    "4 GiB of password": (_TRIED + b"p\xff\xff\xff\xff", "length"),
    "SCRAM of hostile length": (
        _TRIED + wire.SASLInitialResponse("SCRAM-SHA-256", b"n,,n=,r=" + b"x" * 5000).encode(),
        "",
    ),
}


async def test_each_bad_beginning_ends_in_a_record(
    postgres: EmbeddedPostgres, shop: str, made: Certificates, tmp_path: Path
) -> None:
    """And in a closed connection, also where nobody is there any more to hear of an error."""
    listen = {"port": 0, "tls": {"certificate": made.certificate, "key": made.key}}
    async with open_house(postgres, shop, tmp_path, listen=listen) as house:
        for name, (sent, why) in BAD.items():
            known = len(await house.records("session"))
            async with await Client.connect(house.app.port) as client:
                client.send(sent)
                client.end()
                assert len(await client.take(10_000)) < 10_000, name
            async with asyncio.timeout(10):
                while len(found := await house.records("session")) == known:
                    await asyncio.sleep(0.01)
            [record] = found[known:]
            assert record["event"] == "refused", name
            assert why in str(record["why"]), name


async def test_an_unknown_database_is_named_to_those_who_have_signed_in_only(house: House) -> None:
    async with await Client.connect(house.app.port) as client:
        (*_, refused) = await client.log_in(house.agent, "wrong", database="nowhere")
        assert isinstance(refused, wire.ErrorResponse)
        assert refused.sqlstate == "28P01"
    async with await Client.connect(house.app.port) as client:
        (*_, refused) = await client.log_in(house.agent, house.token, database="nowhere")
        assert isinstance(refused, wire.ErrorResponse)
        assert refused.sqlstate == "3D000"


async def test_who_is_slow_is_sent_away(house: House, made: Certificates) -> None:
    """Silence, one byte now and then, and silence in the middle of the TLS handshake; two seconds each."""
    silent, slow, shaking = [await Client.connect(house.app.port) for _ in range(3)]
    async with silent, slow, shaking:
        startup = wire.StartupMessage(3, 0, (("user", house.agent),)).encode()
        shaking.send(SSL)
        assert await shaking.take(1) == b"S"

        async def drip() -> None:
            # a byte behind the farewell would make the system throw away what has not been read
            for byte in startup[:9]:
                slow.send(bytes((byte,)))
                await asyncio.sleep(0.2)

        dripping = asyncio.ensure_future(drip())
        for client in (silent, slow):
            assert (await client.error()).message == "the login took too long"
        assert await shaking.take(100) == b""
        dripping.cancel()


async def test_a_startup_packet_may_come_byte_by_byte(house: House) -> None:
    async with await Client.connect(house.app.port) as client:
        for byte in wire.StartupMessage(3, 0, (("user", house.agent),)).encode():
            client.send(bytes((byte,)))
            await asyncio.sleep(0)
        assert isinstance(await client.message(), wire.AuthenticationSASL)


async def test_require_tls_turns_plain_sessions_away_and_no_cancel_requests(
    postgres: EmbeddedPostgres, shop: str, made: Certificates, tmp_path: Path
) -> None:
    tls = {"certificate": made.certificate, "key": made.key}
    async with open_house(
        postgres, shop, tmp_path, listen={"port": 0, "tls": tls, "require_tls": True}
    ) as strict:
        async with await Client.connect(strict.app.port) as client:
            client.send(wire.StartupMessage(3, 0, (("user", strict.agent),)).encode())
            assert (await client.error()).sqlstate == "28000"
        async with await Client.connect(strict.app.port) as client:
            client.send(wire.CancelRequest(1, b"abcd").encode())
            assert await client.take(1) == b""
        async with await Client.connect(strict.app.port, client_tls(made, "postgresql")) as client:
            assert ready(await client.log_in(strict.agent, strict.token))
