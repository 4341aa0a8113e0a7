"""The first minute of a client: TLS or not, protocol version, who it is.

Authentication is terminated here: agents have credentials of their own, and nothing of what they send in
this phase ever reaches the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from firewall import clock, wire
from firewall.errors import FirewallError, ProtocolViolation

if TYPE_CHECKING:
    import ssl

    from firewall.proxy.link import Link

# An SSLRequest and a GSSENCRequest in either order, then the startup packet.
MAX_NEGOTIATIONS = 4
# A SASL message with its framing; see wire.scram.LONGEST_MESSAGE.
MAX_LOGIN_FRAME = 8 * 1024
ALPN = "postgresql"
# Kinds of subjectAltName by which an agent can be known, as Python's ssl calls them.
_ALTERNATIVES = frozenset({"DNS", "email", "URI"})
_Pairs: TypeAlias = tuple[tuple[str, str], ...]
_Parts: TypeAlias = tuple[_Pairs, ...]


class LoginRefused(FirewallError):
    """The client is turned away with this SQLSTATE; `reason` is for the log, not for the client."""

    def __init__(self, message: str, *, sqlstate: str, reason: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.sqlstate = sqlstate
        self.reason = reason or message


class PeerGone(Exception):
    """The peer closed its socket before it said who it is."""


class AgentRow(Protocol):
    """What the store knows of an agent, as far as signing in goes."""

    @property
    def name(self) -> str: ...
    @property
    def owner(self) -> str: ...
    @property
    def team(self) -> str: ...
    @property
    def issuer(self) -> str: ...
    @property
    def verifier(self) -> str: ...
    @property
    def disabled(self) -> bool: ...
    @property
    def valid_until(self) -> str | None: ...
    @property
    def certificate(self) -> str: ...


async def greet(
    link: Link, tls: ssl.SSLContext | None, *, require_tls: bool
) -> wire.StartupMessage | wire.CancelRequest:
    """Negotiate encryption and return what the client wants. Raises ProtocolViolation, PeerGone."""
    framer = wire.StartupFramer()
    for _ in range(MAX_NEGOTIATIONS):
        packet = await _packet(link, framer)
        if isinstance(packet, wire.DirectTLS):
            await _direct_tls(link, tls, packet.rest)
            continue
        message = wire.decode_startup(packet.raw)
        match message:
            case wire.SSLRequest() | wire.GSSENCRequest():
                # bytes behind it would be taken as part of the encrypted session [CVE-2021-3935]
                if packet.rest:
                    raise ProtocolViolation(
                        "received unencrypted data after an encryption request",
                        hint="something on the way may be putting it there; check the network",
                    )
                if isinstance(message, wire.GSSENCRequest) or tls is None or link.tls is not None:
                    link.write(b"N")
                else:
                    link.write(b"S")
                    await link.start_tls(tls, server_side=True)
            case wire.StartupMessage() | wire.CancelRequest():
                # a cancel request may come in the clear, as older drivers send it
                if require_tls and link.tls is None and isinstance(message, wire.StartupMessage):
                    raise ProtocolViolation(
                        "this firewall accepts TLS connections only",
                        sqlstate="28000",
                        hint="use sslmode=require",
                    )
                link.unread(packet.rest)
                return message
    raise ProtocolViolation("too many encryption requests")


async def authenticate(
    link: Link, name: str, agent: AgentRow | None, mock_secret: bytes, binding: bytes | None
) -> AgentRow:
    """By a certificate, or SCRAM-SHA-256 (manual 53.3.1); alike for known and unknown agents.

    Raises LoginRefused.
    """
    known = agent is not None and not agent.disabled and not _expired(agent)
    certified = certified_names(link.tls)
    if certified is not None:
        # INVARIANT: 3. a certificate that our authority signed for somebody else opens nothing
        if agent is None or not known or not agent.certificate or agent.certificate not in certified:
            raise _another(name, certified)
        return agent
    verifier = wire.Verifier.parse(agent.verifier) if agent is not None else wire.doomed(name, mock_secret)
    mechanisms = wire.offered(binding)
    link.write(wire.AuthenticationSASL(mechanisms).encode())
    framer = wire.Framer(MAX_LOGIN_FRAME)
    first = wire.SASLInitialResponse.decode(await _password_body(link, framer))
    server = wire.ScramServer(verifier, mechanism=first.mechanism, binding=binding)
    link.write(wire.AuthenticationSASLContinue(server.first(first.data or b"")).encode())
    final = wire.SASLResponse.decode(await _password_body(link, framer))
    try:
        last = server.final(final.data)
    except wire.ScramFailed as error:
        raise _wrong(name, "wrong token" if agent else "no such agent") from error
    if agent is None or not known:
        raise _wrong(name, "the agent is disabled or its credential has expired")
    link.write(wire.AuthenticationSASLFinal(last).encode())
    return agent


def certified_names(tls: ssl.SSLObject | None) -> frozenset[str] | None:
    """Common names, DNS names, mail addresses and URIs in the client's verified certificate, if any."""
    certificate = tls.getpeercert() if tls is not None else None
    if not certificate:
        return None
    subject = [pair for part in cast("_Parts", certificate.get("subject", ())) for pair in part]
    names = [value for kind, value in subject if kind == "commonName"]
    others = cast("_Pairs", certificate.get("subjectAltName", ()))
    names += [value for kind, value in others if kind in _ALTERNATIVES]
    return frozenset(names)


def _another(name: str, certified: frozenset[str]) -> LoginRefused:
    """In Postgres's words, and the same whatever was wrong."""
    return LoginRefused(
        f'certificate authentication failed for user "{name}"',
        sqlstate="28000",
        reason=f"no agent in force with the certificate of {', '.join(sorted(certified)) or 'nobody'}",
        hint="ask for `firewall agents certify`, or connect with sslcertmode=disable to sign in by token",
    )


def _wrong(name: str, reason: str) -> LoginRefused:
    """In Postgres's words, and the same whatever was wrong."""
    return LoginRefused(
        f'password authentication failed for user "{name}"',
        sqlstate="28P01",
        reason=reason,
        hint="the user is the agent's name and the password its token, from `firewall agents add`",
    )


def _expired(agent: AgentRow) -> bool:
    return agent.valid_until is not None and agent.valid_until <= clock.stamp(clock.now())


async def _direct_tls(link: Link, tls: ssl.SSLContext | None, begun: bytes) -> None:
    if tls is None:
        raise ProtocolViolation(
            "TLS was begun, and no certificate is configured", hint="set `listen.tls` in the settings file"
        )
    if link.tls is not None:
        raise ProtocolViolation("TLS inside TLS is not spoken here")
    session = await link.start_tls(tls, server_side=True, begun=begun)
    if session.selected_alpn_protocol() != ALPN:
        raise ProtocolViolation(
            f"direct TLS needs ALPN `{ALPN}`", hint="use a driver of Postgres 17 or newer"
        )


async def _packet(link: Link, framer: wire.StartupFramer) -> wire.Packet | wire.DirectTLS:
    while True:
        data = await link.read()
        if not data:
            raise PeerGone
        packet = framer.feed(data)
        if packet is not None:
            return packet


async def _password_body(link: Link, framer: wire.Framer) -> bytes:
    while True:
        data = await link.read()
        if not data:
            raise PeerGone
        frames = framer.feed(data)
        if not frames:
            continue
        if len(frames) > 1 or frames[0].code != ord("p"):
            raise ProtocolViolation(f"expected a SASL response, got message type `{chr(frames[0].code)}`")
        return frames[0].body
