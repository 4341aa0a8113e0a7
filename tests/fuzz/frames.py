"""Targets of the wire room: framing, messages, startup packets, options, SCRAM."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from firewall import wire
from firewall.errors import FirewallError, ProtocolViolation
from firewall.proxy import parameters
from firewall.wire import startup
from tests.fuzz.dice import Dice, chunks

if TYPE_CHECKING:
    from collections.abc import Iterable

LIMITS = (64, 4096, 1 << 31)
SALT = b"s" * wire.SALT_LENGTH
VERIFIER = wire.Verifier.of("a token", SALT)
BINDING = b"b" * 32
# the framers keep what may still become a frame, and nothing once the stream is broken beyond one chunk
Cut = tuple[list[wire.Frame], list[tuple[bytes, int]], str]


def frontend(data: bytes) -> None:
    """A client's stream: frames at any chunking, each a message or a ProtocolViolation."""
    dice = Dice(data)
    limit, pattern = LIMITS[dice.byte() % 3], dice.byte()
    stream = dice.rest()
    whole = _cut(wire.Framer(limit), [stream], limit)
    assert _cut(wire.Framer(limit), chunks(stream, pattern or 1), limit) == whole
    for frame in whole[0]:
        with suppress(ProtocolViolation):
            message = wire.decode_frontend(frame)
            assert wire.decode_frontend(_frame(message.encode())) == message
        if frame.code == ord("p"):
            for kind in (wire.PasswordMessage, wire.SASLInitialResponse):
                with suppress(ProtocolViolation):
                    secret = kind.decode(frame.body)
                    assert kind.decode(_frame(secret.encode()).body) == secret


def backend(data: bytes) -> None:
    """A server's stream: whole frames and runs of rows at any chunking."""
    dice = Dice(data)
    limit, pattern = LIMITS[dice.byte() % 3], dice.byte()
    stream = dice.rest()
    whole = _cut(wire.BackendCutter(limit), [stream], limit)
    assert _cut(wire.BackendCutter(limit), chunks(stream, pattern or 1), limit) == whole
    for frame in [*whole[0], *_cut(wire.Framer(1 << 31), [stream], 1 << 31)[0]]:
        with suppress(ProtocolViolation):
            message = wire.decode_backend(frame)
            assert wire.decode_backend(_frame(message.encode())) == message
            if isinstance(message, wire.ErrorResponse | wire.NoticeResponse):
                assert 0 <= message.position < 10**10
                message.replace(M="another message", P="").encode()
            elif isinstance(message, wire.CommandComplete):
                assert message.rows is None or message.rows >= 0


def starting(data: bytes) -> None:
    """A connection's first packets, and what they may set."""
    dice = Dice(data)
    pattern = dice.byte()
    stream = dice.rest()
    outcome = _packets([stream])
    assert _packets(chunks(stream, pattern or 1)) == outcome
    for packet in outcome[0]:
        if isinstance(packet, wire.DirectTLS):
            continue
        with suppress(ProtocolViolation):
            message = wire.decode_startup(packet.raw)
            if not isinstance(message, wire.StartupMessage) or message.major == 3:
                assert wire.decode_startup(message.encode()) == message
            if isinstance(message, wire.StartupMessage):
                answer = wire.negotiate(message)
                if answer is not None:
                    answer.encode()
                assert 0 <= wire.agreed_minor(message) <= startup.NEWEST_MINOR
                for name, value in parameters.for_upstream(message).items():
                    assert name in parameters.HARMLESS
                    parameters.search_path(value)


def options(data: bytes) -> None:
    """The startup parameter `options`: settings that can be written again, or a ProtocolViolation."""
    text = data.decode(errors="replace")
    parameters.search_path(text)
    with suppress(ProtocolViolation):
        found = wire.parse_options(text)
        quoted = " ".join("-c " + "".join(f"\\{c}" for c in f"{name}={value}") for name, value in found)
        assert wire.parse_options(quoted) == found


def scram(data: bytes) -> None:
    """Both sides of SCRAM against a peer that says anything."""
    dice = Dice(data)
    flags, first, second = dice.byte(), dice.sized(), dice.sized()
    binding = BINDING if flags & 1 else None
    mechanism = wire.MECHANISM_PLUS if flags & 2 else wire.MECHANISM
    if flags & 4:
        with suppress(FirewallError):
            client = wire.ScramClient(
                "a token", mechanisms=(mechanism,), binding=binding, nonce="clientnonce"
            )
            client.first()
            client.final(first)
            client.verify(second)
    else:
        with suppress(FirewallError):
            server = wire.ScramServer(VERIFIER, mechanism=mechanism, binding=binding, nonce="servernonce")
            server.first(first)
            server.final(second)
    with suppress(FirewallError):
        verifier = wire.Verifier.parse(first.decode(errors="replace"))
        assert wire.Verifier.parse(str(verifier)) == verifier


def _frame(raw: bytes) -> wire.Frame:
    (frame,) = wire.Framer(1 << 31).feed(raw)
    return frame


def _cut(cutter: wire.Framer | wire.BackendCutter, pieces: Iterable[bytes], limit: int) -> Cut:
    """The frames; between them, runs of rows joined; and how it ended."""
    frames: list[wire.Frame] = []
    runs: list[tuple[bytes, int]] = [(b"", 0)]

    def took(items: Iterable[wire.Frame | wire.Bulk]) -> None:
        for item in items:
            if isinstance(item, wire.Frame):
                frames.append(item)
                runs.append((b"", 0))
            else:
                run, begun = runs[-1]
                runs[-1] = (run + item.data, begun + item.frames)

    for piece in pieces:
        try:
            took(cutter.feed(piece))
        except wire.BrokenFraming as broken:
            took(broken.before)
            return frames, runs, broken.message
        assert cutter.pending <= limit
    return frames, runs, f"{cutter.pending} bytes pending"


def _packets(pieces: Iterable[bytes]) -> tuple[list[wire.Packet | wire.DirectTLS], bytes | str]:
    """Packet after packet, as a listener reads them; then what is left, or what was wrong."""
    framer = wire.StartupFramer()
    found: list[wire.Packet | wire.DirectTLS] = []
    ahead = b""
    for piece in pieces:
        ahead = piece
        try:
            while (packet := framer.feed(ahead)) is not None:
                if isinstance(packet, wire.DirectTLS):
                    # how much of the handshake has come by now is chance
                    return [*found, wire.DirectTLS(b"")], ""
                found.append(wire.Packet(packet.raw, b""))
                ahead = packet.rest
        except ProtocolViolation as violation:
            return found, violation.message
        assert framer.pending <= startup.LONGEST_PACKET + 4
    return found, f"{framer.pending} bytes pending"
