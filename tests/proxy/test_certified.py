"""Client certificates: whose authority is ours opens the door of the agent that it names, and no other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest
import pytest_asyncio
from cryptography import x509

from firewall import config, credentials, wire
from firewall.app import server_tls
from firewall.errors import ConfigurationError
from tests.e2e.house import OWNER, open_house
from tests.proxy.certificates import Certificates, certificates
from tests.proxy.client import Client, client_tls

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

    from firewall.demo.postgres import EmbeddedPostgres
    from tests.e2e.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME = "reports.agents.example.com"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def certified(
    postgres: EmbeddedPostgres, shop: str, made: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """Takes certificates of its own authority; `reporter` is known by one, `shopper` is not."""
    tls = {"certificate": made.certificate, "key": made.key, "client_ca": made.authority}
    folder = tmp_path_factory.mktemp("certified")
    async with open_house(postgres, shop, folder, listen={"port": 0, "tls": tls}) as opened:
        store = opened.app.store
        await credentials.add_agent(store, "reporter", owner=OWNER, issuer="operator", certificate=NAME)
        yield opened


async def _enter(house: House, made: Certificates, user: str, **more: object) -> psycopg.AsyncConnection:
    options = {"sslmode": "verify-full", "sslrootcert": made.authority, **more}
    return await psycopg.AsyncConnection.connect(
        host="localhost",
        hostaddr="127.0.0.1",
        port=house.app.port,
        dbname="shop",
        user=user,
        autocommit=True,
        **{key: str(value) for key, value in options.items()},
    )


@pytest.mark.parametrize(
    ("common", "alternatives"),
    [
        (NAME, ()),
        ("another", (x509.DNSName(NAME),)),
        ("", (x509.DNSName("x.example.com"), x509.UniformResourceIdentifier(NAME))),
        ("another", (x509.RFC822Name(NAME),)),
    ],
)
@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
async def test_a_certificate_that_names_the_agent_needs_no_token(
    certified: House,
    made: Certificates,
    tmp_path: Path,
    common: str,
    alternatives: tuple[x509.GeneralName, ...],
    negotiation: str,
) -> None:
    certificate, key = made.client(tmp_path, common, *alternatives)
    connection = await _enter(
        certified, made, "reporter", sslcert=certificate, sslkey=key, sslnegotiation=negotiation
    )
    async with connection:
        assert not connection.pgconn.used_password
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
    assert any(r["agent"] == "reporter" for r in await certified.records("session"))


@pytest.mark.parametrize("user", ["shopper", "reporter", "nobody"])
async def test_a_certificate_of_somebody_else_is_refused_alike_for_all(
    certified: House, made: Certificates, tmp_path: Path, user: str
) -> None:
    certificate, key = made.client(tmp_path, "somebody.else", x509.DNSName(user))
    async with await Client.connect(
        certified.app.port, _with(client_tls(made, "postgresql"), certificate, key)
    ) as client:
        # even its token does not help: who shows a certificate is who it names
        refused = (await client.log_in(user, certified.token))[-1]
    assert isinstance(refused, wire.ErrorResponse)
    assert (refused.sqlstate, refused.message) == (
        "28000",
        f'certificate authentication failed for user "{user}"',
    )
    last = (await certified.records("session"))[-1]
    assert (last["event"], last["agent"]) == ("refused", user)
    assert "somebody.else" in str(last["why"])


async def test_a_disabled_agent_is_not_let_in_by_its_certificate(
    certified: House, made: Certificates, tmp_path: Path
) -> None:
    certificate, key = made.client(tmp_path, "retired.example.com")
    store = certified.app.store
    await credentials.add_agent(store, "retired", owner=OWNER, issuer="operator")
    with pytest.raises(psycopg.OperationalError, match="certificate authentication failed"):
        await _enter(certified, made, "retired", sslcert=certificate, sslkey=key)
    await credentials.certify_agent(store, "retired", "retired.example.com", issuer="operator")
    async with await _enter(certified, made, "retired", sslcert=certificate, sslkey=key):
        pass
    await credentials.switch_agent(store, "retired", disabled=True, by="operator")
    with pytest.raises(psycopg.OperationalError, match="certificate authentication failed"):
        await _enter(certified, made, "retired", sslcert=certificate, sslkey=key)


async def test_without_a_certificate_a_token_is_asked_for(certified: House, made: Certificates) -> None:
    async with await _enter(
        certified, made, "shopper", password=certified.token, channel_binding="require"
    ) as connection:
        assert connection.pgconn.used_password
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        await _enter(certified, made, "reporter")


async def test_a_certificate_of_another_authority_ends_the_handshake_and_is_recorded(
    certified: House, made: Certificates, tmp_path: Path
) -> None:
    foreign = certificates(tmp_path)
    certificate, key = foreign.client(tmp_path, NAME)
    with pytest.raises(psycopg.OperationalError):
        await _enter(certified, made, "reporter", sslcert=certificate, sslkey=key)
    async with asyncio.timeout(10):
        while "TLS failed" not in str((last := (await certified.records("session"))[-1])["why"]):
            await asyncio.sleep(0.01)
    assert (last["event"], last["agent"]) == ("refused", "")


async def test_authorities_that_cannot_be_read_stop_the_start(made: Certificates, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for name in ("ca.pem", "missing.pem"):
        tls = config.Tls(certificate=made.certificate, key=made.key, client_ca=tmp_path / name)
        with pytest.raises(ConfigurationError, match="client_ca"):
            server_tls(tls)


def _with(context: ssl.SSLContext, certificate: Path, key: Path) -> ssl.SSLContext:
    context.load_cert_chain(certificate, key)
    return context
