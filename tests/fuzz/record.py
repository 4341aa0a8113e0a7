"""`python -m tests.fuzz.record`: makes the seeds anew, most of them of what real clients and servers say.

A tap between psql, psycopg, asyncpg and the wheel's Postgres keeps the bytes of both directions in order.
What is said while signing in is left out: no seed holds a proof of any password but those made up here.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import psycopg

from firewall import audit, wire
from firewall.demo.postgres import EmbeddedPostgres
from tests.fuzz import frames, logins, texts
from tests.fuzz.target import KEPT, TARGETS
from tests.sql.shop import cases

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
LONGEST = 3000
Said = list[tuple[str, bytes]]


class Tap:
    """A port of its own before a server's; `said` is what passed, by direction, for one connection."""

    def __init__(self, port: int) -> None:
        self.said: Said = []
        self._upstream = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(("127.0.0.1", self._upstream))
        back = threading.Thread(target=self._pass, args=("server", server, client))
        back.start()
        self._pass("client", client, server)
        back.join()
        for one in (client, server, self._listener):
            one.close()

    def _pass(self, side: str, source: socket.socket, sink: socket.socket) -> None:
        while data := source.recv(65_536):
            self.said.append((side, data))
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)

    def heard(self) -> Said:
        """All of it, once both sides have gone."""
        self._thread.join()
        return self.said


def by_psql(dsn: str) -> None:
    psql = shutil.which("psql")
    assert psql, "psql is needed to record it"
    script = (
        "CREATE TEMP TABLE t (a int, b text);\n"
        "COPY t FROM STDIN;\n1\tone\n2\t\\N\n\\.\n"
        "SELECT a, b FROM t; SELECT 1/0;\nBEGIN; SELECT nothing; ROLLBACK;\nCOPY t TO STDOUT;\n"
    )
    subprocess.run([psql, "-X", dsn], input=script, text=True, capture_output=True, check=False)


def by_psycopg(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TEMP TABLE t (a int, b text)")
        with connection.cursor() as cursor, connection.pipeline():
            cursor.executemany("INSERT INTO t VALUES (%s, %s)", [(1, "one"), (2, None)])
            cursor.execute("SELECT * FROM t WHERE a > %s", (0,), prepare=True)
        with connection.cursor() as cursor, cursor.copy("COPY t FROM STDIN") as copy:
            copy.write_row((3, "three"))
        with connection.cursor("c") as cursor:
            cursor.execute("SELECT generate_series(1, 5)")
            cursor.fetchmany(2)


def by_asyncpg(dsn: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(dsn, ssl=False)
        try:
            await connection.execute("CREATE TEMP TABLE t (a int, b text); SELECT 1")
            await connection.executemany("INSERT INTO t VALUES ($1, $2)", [(1, "one"), (2, None)])
            await connection.add_listener("c", lambda *_: None)
            await connection.execute("NOTIFY c, 'p'")
            async with connection.transaction():
                async for _ in connection.cursor("SELECT generate_series(1, 5)", prefetch=2):
                    pass
        finally:
            await connection.close()

    asyncio.run(run())


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(Path(folder) / "postgres", settings={"fsync": "off"}) as postgres,
    ):
        clients: tuple[Callable[[str], None], ...] = (by_psql, by_psycopg, by_asyncpg)
        for client in clients:
            tap = Tap(postgres.port)
            client(postgres.dsn().replace(str(postgres.port), str(tap.port)))
            _keep_session(client.__name__[3:], tap.heard())
    for name, data in _made().items():
        _keep(name, data)


def _keep_session(name: str, said: Said) -> None:
    sent = b"".join(data for side, data in said if side == "client")
    starting, rest = _until_startup(sent)
    _keep(f"startup/{name}", b"\0" + starting)
    (first, *_) = [i for i, (side, data) in enumerate(said) if side == "server" and b"Z\0\0\0\5" in data]
    _keep(
        f"backend/{name}",
        b"\1\0" + said[first][1] + b"".join(d for s, d in said[first + 1 :] if s == "server"),
    )
    after = said[first + 1 :]
    assert rest
    _keep(f"frontend/{name}", b"\1\0" + b"".join(data for side, data in after if side == "client"))
    _keep(f"session/{name}", b"\0" + b"".join(_step(side, data) for side, data in after))


def _until_startup(sent: bytes) -> tuple[bytes, bytes]:
    """The packets before and with the StartupMessage, and what follows them."""
    at = 0
    while True:
        length = int.from_bytes(sent[at : at + 4])
        message = wire.decode_startup(sent[at : at + length])
        at += length
        if isinstance(message, wire.StartupMessage):
            return sent[:at], sent[at:]


def _step(side: str, data: bytes) -> bytes:
    """Steps of the session's target: these bytes, and leave for what they ask."""
    code = b"\0" if side == "client" else b"\5"
    fed = b"".join(
        code + len(piece).to_bytes(2) + piece
        for at in range(0, len(data), 4096)
        if (piece := data[at : at + 4096])
    )
    # ruled allow, as one statement; then cleared
    asks = sum(frame.code in b"QB" for frame in wire.Framer(1 << 30).feed(data)) if side == "client" else 0
    return fed + bytes((8, 0, 9, 8, 0, 1)) * asks


def _made() -> dict[str, bytes]:
    """Seeds that no client of today would send, or that need keys."""
    made: dict[str, bytes] = {}
    startup = wire.StartupMessage(
        3, 2, (("user", logins.AGENT), ("database", "shop"), ("options", "-c jit=off"))
    )
    newest = wire.StartupMessage(3, 9999, (("user", "a"), ("_pq_.test_protocol_negotiation", "")))
    made["startup/encryption"] = b"\0" + b"".join(
        m.encode()
        for m in (wire.GSSENCRequest(), wire.SSLRequest(), newest, wire.CancelRequest(7, b"k" * 32))
    )
    made["options/all"] = b"-c a.b=c\\ d -cjit=off  --work-mem=4MB"
    made["scram/server"], final = _scram(flags=0)
    made["scram/server-plus"], _ = _scram(flags=3)
    made["login/scram"] = b"\0\0" + startup.encode() + final
    made["login/encryption"] = b"\1\1" + wire.GSSENCRequest().encode() + wire.SSLRequest().encode()
    made["login/direct-tls"] = b"\1\0\x16\x03\x01\0\x05hello"
    made["login/cancel"] = b"\2\0" + wire.CancelRequest(7, b"key!").encode()
    challenge = b"r=clientnonceserver,s=" + b"c3Nzc3Nzc3Nzc3Nzc3Nzcw==" + b",i=4096"
    made["scram/client"] = b"\4" + _sized(challenge) + _sized(b"v=" + b"A" * 43 + b"=")
    verifier = str(frames.VERIFIER).encode()
    made["scram/verifier"] = b"\0" + _sized(verifier)
    for number, case in enumerate(cases("evasions", "expect")):
        if number % 8 == 0 and len(case.sql) < 400:
            made[f"sql/evasion-{number}"] = b"\0" + case.sql.encode()
    policy = (ROOT / "policies/production.yaml").read_text().split("\nrules:")[0]
    made["policy/approvers"] = policy.encode()[:LONGEST]
    made["policy/rule"] = (
        b"version: 1\ndefault: deny\nlabels:\n  pii.email: ['public.*.email']\nrules:\n"
        b"  - name: a\n    hold: [read, delete]\n    when: {labels: [pii], relations: ['public.*']}\n"
        b"    why: b\n    approval: {groups: [dba], quorum: 1}\napprovers:\n  a@b.c: {groups: [dba]}\n"
    )
    made["log/record"] = audit.encode(
        audit.Fault(id="id", at="2026-01-01T00:00:00.000000Z", where="here", error="x")
    )
    checkpoint = audit.Checkpoint("origin", 1, audit.leaf_hash(b"x"))
    made["log/note"] = audit.sign_checkpoint(texts.KEY, checkpoint).encode()
    made["log/checkpoint"] = checkpoint.text().encode()
    made["log/public-key"] = str(texts.KEY.public).encode()
    made["log/signing-key-of-nobody"] = texts.KEY.encoded().encode()
    made["log/rows"] = b"\0\0\0\1x\1\1\0\0\2" + made["log/note"]
    made["visible/hidden"] = (
        "\x20\x20SELECT 'a\u202e\u200bb' ⟨U+202E⟩ a\u0301\u0301\u0301\r\n\t\u00a0שלום".encode()
    )
    return made


def _scram(*, flags: int) -> tuple[bytes, bytes]:
    """The two messages of a client that knows the token, as the target takes them and as frames."""
    binding, mechanism = (frames.BINDING, wire.MECHANISM_PLUS) if flags & 1 else (None, wire.MECHANISM)
    client = wire.ScramClient("a token", mechanisms=(mechanism,), binding=binding, nonce="clientnonce")
    server = wire.ScramServer(frames.VERIFIER, mechanism=mechanism, binding=binding, nonce=logins.NONCE)
    first = client.first()
    final = client.final(server.first(first))
    framed = wire.SASLInitialResponse(mechanism, first).encode() + wire.SASLResponse(final).encode()
    return bytes((flags,)) + _sized(first) + _sized(final), framed


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data


def _keep(name: str, data: bytes) -> None:
    path = KEPT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data[: min(TARGETS[path.parent.name].longest, 2 * LONGEST)])
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    os.environ.setdefault("PGSSLMODE", "prefer")
    main()
