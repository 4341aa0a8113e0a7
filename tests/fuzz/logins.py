"""The login's target: the real link over a transport that is not there, with or without a certificate."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from unittest.mock import patch

from firewall import wire
from firewall.errors import FirewallError
from firewall.proxy import login, parameters
from firewall.proxy.link import Link
from tests.fuzz.dice import Dice, chunks
from tests.proxy.certificates import certificates

AGENT = "agent"
TOKEN = "a token"
NONCE = "servernonce"


@dataclass(frozen=True)
class Row:
    """An agent as the store has it."""

    name: str = AGENT
    owner: str = "ola@example.com"
    team: str = ""
    issuer: str = "operator"
    verifier: str = str(wire.Verifier.of(TOKEN, b"s" * wire.SALT_LENGTH))
    disabled: bool = False
    valid_until: str | None = None


class Wire(asyncio.Transport):
    """Takes what is written; nobody is at its other end."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += len(data)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True


@lru_cache(maxsize=1)
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    with tempfile.TemporaryDirectory() as folder:
        made = certificates(Path(folder))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.certificate, made.key)
    context.set_alpn_protocols([login.ALPN])
    return context


def run(data: bytes) -> None:
    """From the first byte to the agent's row, or to an end that is foreseen."""
    dice = Dice(data)
    flags, pattern = dice.byte(), dice.byte()
    with patch.object(wire, "ScramServer", partial(wire.ScramServer, nonce=NONCE)):
        _loop().run_until_complete(_connection(dice.rest(), pattern, flags))


async def _connection(data: bytes, pattern: int, flags: int) -> None:
    transport = Wire()
    link = Link()
    link.connection_made(transport)
    signing_in = asyncio.ensure_future(_sign_in(link, flags))
    try:
        for piece in chunks(data, pattern):
            if transport.closing:
                break
            link.data_received(piece)
            # as many steps as it takes the other task to look at it
            for _ in range(4):
                await asyncio.sleep(0)
        link.eof_received()
        await asyncio.wait_for(signing_in, 5)
    finally:
        signing_in.cancel()
        link.connection_lost(None)
    # an answer to a stranger is no longer than a few times what the stranger sent
    assert transport.written <= 16_384 + 64 * len(data)


async def _sign_in(link: Link, flags: int) -> None:
    agent = Row(disabled=bool(flags & 4))
    with suppress(FirewallError, login.PeerGone):
        wanted = await login.greet(link, _tls() if flags & 1 else None, require_tls=bool(flags & 2))
        if isinstance(wanted, wire.CancelRequest):
            return
        wire.negotiate(wanted)
        parameters.for_upstream(wanted)
        name = wanted.get("user") or ""
        found = agent if name == AGENT else None
        binding = b"b" * 32 if flags & 8 else None
        signed = await login.authenticate(link, name, found, b"secret", binding)
        # INVARIANT: 3. nobody comes in under another name, and nobody who is disabled
        assert signed is agent
        assert not agent.disabled
