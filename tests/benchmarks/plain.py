"""A client that costs next to nothing: a blocking socket that logs in, sends messages, and counts bytes.

A driver would spend more on a million rows than any proxy between; this one reads and looks at the end only.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firewall import wire

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 1024 * 1024
TIMEOUT = 300


@dataclass(frozen=True)
class Address:
    """Where a target listens and as whom one logs in there."""

    port: int
    user: str
    password: str
    database: str
    host: str = "127.0.0.1"


class Plain:
    """A session after its login. `sock` may be used as it is."""

    def __init__(self, address: Address, *, receive_buffer: int = 0) -> None:
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect((address.host, address.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(CHUNK))
        self._log_in(address)

    def close(self) -> None:
        self.sock.close()

    def query(self, sql: str) -> int:
        """Bytes of the answer, ReadyForQuery included. RuntimeError for an error."""
        self.sock.sendall(wire.Query(sql).encode())
        return self.drain()

    def drain(self) -> int:
        """Read to the ReadyForQuery that ends the answer; an ErrorResponse at the beginning is an error."""
        total = 0
        tail = b""
        while not (len(tail) >= 6 and tail[-6:-1] == b"Z\0\0\0\5"):
            got = self.sock.recv_into(self._buffer)
            if got == 0:
                raise RuntimeError("the session ended")
            if total == 0 and self._buffer[0] == ord("E"):
                raise RuntimeError(bytes(self._buffer[:got]))
            total += got
            tail = (tail + bytes(self._buffer[max(0, got - 6) : got]))[-6:]
        return total

    def copy_in(self, sql: str, pieces: Iterator[bytes]) -> None:
        """Send `pieces`, each already framed, once the server asks for them."""
        self.sock.sendall(wire.Query(sql).encode())
        self.await_code("G")
        for piece in pieces:
            self.sock.sendall(piece)
        self.sock.sendall(wire.CopyDone().encode())
        self.drain()

    def await_code(self, code: str) -> None:
        """Read up to the message `code`; bytes that come with it are dropped."""
        framer = wire.Framer(1 << 30)
        while True:
            data = self.sock.recv(CHUNK)
            if not data:
                raise RuntimeError(f"the session ended before `{code}`")
            for frame in framer.feed(data):
                if frame.code == ord("E"):
                    raise RuntimeError(frame.raw)
                if frame.code == ord(code):
                    return

    def _log_in(self, address: Address) -> None:
        # libpq's way: a proxy that speaks protocol 3.0 only must be able to take it
        startup = {"user": address.user, "database": address.database}
        self.sock.sendall(wire.StartupMessage(3, 0, tuple(startup.items())).encode())
        framer = wire.Framer(1 << 20)
        scram: wire.ScramClient | None = None
        while True:
            data = self.sock.recv(65536)
            if not data:
                raise RuntimeError("the session ended during login")
            for frame in framer.feed(data):
                match wire.decode_backend(frame):
                    case wire.AuthenticationSASL(mechanisms):
                        scram = wire.ScramClient(address.password, mechanisms=mechanisms)
                        first = wire.SASLInitialResponse(scram.mechanism, scram.first())
                        self.sock.sendall(first.encode())
                    case wire.AuthenticationSASLContinue(challenge) if scram is not None:
                        self.sock.sendall(wire.SASLResponse(scram.final(challenge)).encode())
                    case wire.AuthenticationMD5Password(salt):
                        answer = wire.md5_response(address.user, address.password, salt)
                        self.sock.sendall(wire.PasswordMessage(answer).encode())
                    case wire.ErrorResponse() as error:
                        raise RuntimeError(error.message)
                    case wire.ReadyForQuery():
                        return
                    case _:
                        pass


def copy_pieces(rows: int, per_piece: int = 500) -> Iterator[bytes]:
    """CopyData messages of `rows` lines of text, many lines in each as libpq sends them."""
    for start in range(0, rows, per_piece):
        lines = b"".join(b"%d\titem %d\t%d\n" % (n, n, n % 97) for n in range(start, start + per_piece))
        yield b"d" + struct.pack("!I", len(lines) + 4) + lines
