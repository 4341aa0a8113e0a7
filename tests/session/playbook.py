"""Playbooks: what happens to a session, line by line, and what it must command in answer.

A line that is not indented is an event; the indented lines under it are all the commands that must follow,
in order. Messages are parted by ` | ` and written by their type byte as in the manual, so that a playbook
reads like a packet trace (`/` ends a line of data that is copied out):

    client: P s: DELETE FROM t | B p<s 1,NULL | E p | S
      server: P s: DELETE FROM t
      judge 1 DELETE FROM t
    ruled: 1 hold

Events: `client:` `server:` bytes from that side; `ruled: TICKET VERDICT [flags]`,
`filled: TICKET TEXT`, `amended:` as `ruled:`,
`cleared: TICKET [most=ROWS] [within=SECONDS] [changes=ROWS] [read_only=] [masks=writes|reads|copies]`
(its one column arrives as `***`; copied, it is that of a query `inside`), `cleared: TICKET ahead`,
`refused:`, `time over: NUMBER`, `cancelled`, `notice:`, `cancel`, `knock`,
`client lost`, `client ended`, `time out`, `server lost`, `shut down`, `failed:`.
Flags of a ruling: native, multi, doomed, commits, ddl, path, `shows=2,3` (columns of relation 7 whose columns
1 and 2 are labelled), fetches, opens, anything, own, prepares. `T 7.1,0.0` says where the columns of a result
are.
`count` and `read only` are the texts of `bounds`, and `counts 1 NULL 3 on` answers the former. A refusal's
bait is `bait` (a Parse) or `Q bait`; `Foresee` is left out, having no answer.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from firewall import session, wire
from firewall.session import bounds as bounds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RESERVED = "ours"
OURS = {bounds_of.COUNT: "count", bounds_of.READ_ONLY: "read only"}
BAIT = "query_firewall refused this statement: "


def play(script: str, *, chunk: int = 0) -> tuple[list[str], list[str]]:
    """What happened and what should have; with `chunk`, both sides' bytes come in pieces of that size."""
    played: list[str] = []
    machine = new_session()
    lines = [line.rstrip() for line in script.splitlines()]
    expected = [line for line in lines if line and not line.lstrip().startswith("#")]
    for line in expected:
        if not line.startswith(" "):
            played.append(line)
            played += [f"  {said}".rstrip() for said in render(happen(machine, line, chunk))]
    return played, expected


def new_session(parameters: dict[str, str] | None = None) -> session.Session:
    return session.Session(reserved=RESERVED, facts="facts", parameters=parameters or {})


def happen(machine: session.Session, event: str, chunk: int = 0) -> list[session.Command]:
    """One event line."""
    name, _, rest = event.partition(":")
    rest = rest.strip()
    match name:
        case "client":
            return _feed(machine.receive_frontend, b"".join(map(from_client, rest.split(" | "))), chunk)
        case "server":
            return _feed(machine.receive_backend, b"".join(map(from_server, rest.split(" | "))), chunk)
        case "ruled":
            ticket, verdict, *flags = rest.split(" ", 2)
            return machine.ruled(int(ticket), ruling(verdict, flags[0] if flags else ""))
        case "filled":
            ticket, text = rest.split(" ", 1)
            return machine.filled(int(ticket), text)
        case "amended":
            ticket, verdict, *flags = rest.split(" ", 2)
            return machine.amended(int(ticket), ruling(verdict, flags[0] if flags else ""))
        case "cleared":
            ticket, *flags = rest.split(" ", 1)
            if flags == ["ahead"]:
                return machine.cleared(int(ticket), ahead=True)
            return machine.cleared(int(ticket), bounds=bounds(flags[0]) if flags else None)
        case "time over":
            return machine.time_over(int(rest))
        case "cancelled":
            return machine.cancelled()
        case "refused":
            ticket, sqlstate, message = rest.split(" ", 2)
            return machine.refused(int(ticket), session.Refusal(sqlstate, message))
        case "notice":
            return machine.notice(rest)
        case "cancel":
            return machine.cancel()
        case "knock":
            return machine.knock()
        case "client lost":
            return machine.frontend_lost()
        case "client ended":
            return machine.frontend_ended()
        case "time out":
            return machine.time_out()
        case "server lost":
            return machine.backend_lost()
        case "shut down":
            return machine.shut_down(at_once=False)
        case "shut down at once":
            return machine.shut_down()
        case "failed":
            return machine.failed(rest)
    raise AssertionError(f"unknown event `{event}`")


def ruling(verdict: str, flags: str = "") -> session.Ruling:
    """`allow`, `hold` or `deny`, and flags. Rulings with the same flags have one judgement."""
    judgement = _judgements.setdefault(flags, object())
    base = session.Ruling(session.Action(verdict), facts="facts", judgement=judgement)
    prepares = re.search(r"prepares (\w+)=(.*)", flags)
    shows = re.search(r"shows=([\d,]*)", flags)
    words = flags.partition("prepares")[0].split()
    return replace(
        base,
        native="native" in words,
        single="multi" not in words,
        doomed="doomed" in words,
        commits="commits" in words,
        changes_catalog="ddl" in words or "followed" in words,
        loses_names="ddl" in words,
        facts="other facts" if "path" in words else "facts",
        prepares=((prepares[1], prepares[2]),) if prepares else (),
        watch=watch(shows[1], words) if shows else None,
    )


def bounds(flags: str) -> session.Bounds:
    """`most=2`, `within=3`, `changes=4`, `read_only=`, `masks=reads`, or several of them."""
    said = dict(flag.split("=") for flag in flags.split())
    return session.Bounds(
        int(said["most"]) if "most" in said else None,
        float(said["within"]) if "within" in said else None,
        session.Refusal("QF005", "too many"),
        session.Refusal("QF006", "too long"),
        masking(said["masks"]) if "masks" in said else None,
        int(said["changes"]) if "changes" in said else None,
        session.Refusal("QF007", "too many changed"),
        "read_only" in said,
    )


def masking(what: str) -> session.Masking:
    """Of a result with one column."""
    mask = session.Mask(session.Form.TEXT, text="***")
    copying = session.Copying("inside", session.Format.TEXT) if what == "copies" else None
    places = frozenset({(7, 1)})
    return session.Masking((mask,), places, frozenset(), b"", lingers=what == "writes", copying=copying)


_judgements: dict[str, object] = {}


def watch(shows: str, words: Sequence[str] = ()) -> session.Watch:
    """Of a catalog with one relation, 7, that has columns 1 to 3, of which 1 and 2 are labelled."""
    announced = {(7, int(column)) for column in shows.split(",") if column}
    return session.Watch(
        {7: 3},
        {(7, 0), (7, 1), (7, 2)},
        announced,
        fetches="fetches" in words,
        opens="opens" in words,
        own="own" in words,
        anything="anything" in words,
    )


def from_client(text: str) -> bytes:  # one line for each message
    """A frontend message from its notation."""
    code, _, rest = text.partition(" ")
    match code:
        case "Q":
            return wire.Query(rest).encode()
        case "P":
            name, _, sql = rest.partition(":")
            return wire.Parse(name, sql.strip()).encode()
        case "B":
            target, _, values = rest.partition(" ")
            portal, _, statement = target.partition("<")
            given = tuple(None if v == "NULL" else v.encode() for v in values.split(",")) if values else ()
            return wire.Bind(portal, statement, values=given).encode()
        case "D" | "C":
            kind, _, name = rest.partition(" ")
            message = wire.Describe if code == "D" else wire.Close
            return message(kind, name).encode()  # type: ignore[arg-type]  # S or P as written
        case "E":
            portal, _, rows = rest.partition(" ")
            return wire.Execute(portal, int(rows or 0)).encode()
        case "S":
            return wire.Sync().encode()
        case "H":
            return wire.Flush().encode()
        case "X":
            return wire.Terminate().encode()
        case "d":
            return wire.CopyData(rest.encode()).encode()
        case "c":
            return wire.CopyDone().encode()
        case "f":
            return wire.CopyFail(rest).encode()
        case "F":
            return wire.FunctionCall(1).encode()
        case "raw":
            return bytes.fromhex(rest)
    raise AssertionError(f"unknown message `{text}`")


def from_server(text: str) -> bytes:  # one line for each message
    """A backend message from its notation."""
    code, _, rest = text.partition(" ")
    match code:
        case "1" | "2" | "3" | "n" | "I" | "s" | "c":
            return code.encode() + b"\0\0\0\4"
        case "t":
            return wire.ParameterDescription(()).encode()
        case "T":
            places = [place.split(".") for place in rest.split(",") if place]
            return described(*((int(table), int(column)) for table, column in places))
        case "C":
            return wire.CommandComplete(rest).encode()
        case "Z":
            return wire.ReadyForQuery(rest).encode()  # type: ignore[arg-type]  # I, T or E as written
        case "E" | "FATAL":
            sqlstate, _, message = rest.partition(" ")
            severity = "ERROR" if code == "E" else code
            return wire.error(severity=severity, sqlstate=sqlstate, message=message).encode()
        case "N":
            return wire.notice(message=rest).encode()
        case "H" if rest:
            return wire.CopyOutResponse(0, (0,) * int(rest)).encode()
        case "G" | "H" | "W":
            return code.encode() + b"\0\0\0\7\0\0\0"
        case "row":
            return wire.DataRow((rest.encode(),)).encode()
        case "counts":
            values = rest.split()
            return wire.DataRow(tuple(None if v == "NULL" else v.encode() for v in values)).encode()
        case "d":
            return wire.CopyData(rest.replace("/", "\n").encode()).encode()
        case "S":
            name, _, value = rest.partition("=")
            return wire.ParameterStatus(name, value).encode()
        case "raw":
            return bytes.fromhex(rest)
    raise AssertionError(f"unknown message `{text}`")


def described(*places: tuple[int, int]) -> bytes:
    """A RowDescription of columns that come from there."""
    return wire.RowDescription(
        tuple(wire.Field("c", table, column, 25, -1, -1, 0) for table, column in places)
    ).encode()


def render(commands: Sequence[session.Command]) -> list[str]:
    """Commands as playbooks write them."""
    lines: list[str] = []
    for command in commands:
        match command:
            case session.ToFrontend(data):
                lines.append(f"client: {' | '.join(map(_said, wire.Framer(1 << 30).feed(data)))}")
            case session.ToBackend(data):
                lines.append(f"server: {' | '.join(map(_asked, wire.Framer(1 << 30).feed(data)))}")
            case session.Foresee():
                pass
            case session.Fill(ticket, sql):
                lines.append(f"fill {ticket} {sql}")
            case session.Judge():
                flags = [" refresh"] * command.refresh + [" in doubt"] * command.in_doubt
                flags += [" changed"] * (command.changed and not command.in_doubt)
                flags += [" unsafe"] * (not command.lexing_safe)
                lines.append(f"judge {command.ticket} {command.sql}{''.join(flags)}")
            case session.Clear(ticket, _, acts):
                lines.append(f"clear {ticket} {' ; '.join(map(_act, acts))}")
            case session.Withdraw(ticket, why, _):
                lines.append(f"withdraw {ticket} {why}")
            case session.Done():
                end = (
                    f"! {command.sqlstate} {command.message}" if command.sqlstate else ", ".join(command.tags)
                )
                what = "done" if command.released else "unreleased"
                lines.append(f"{what} {command.ticket} {end}".rstrip())
            case session.Declined(refusal):
                lines.append(f"declined {refusal.sqlstate}")
            case session.CatalogChanged():
                lines.append("catalog changed")
            case session.CancelUpstream(ours):
                lines.append("cancel upstream for us" if ours else "cancel upstream")
            case session.Clock(number, seconds):
                lines.append(f"clock {number} {seconds:g} s")
            case session.Close(why, fault):
                lines.append(f"{'fault' if fault else 'close'} {why}")
            case _:
                assert_never(command)
    return lines


def _feed(
    receive: Callable[[bytes], list[session.Command]], data: bytes, chunk: int
) -> list[session.Command]:
    if not chunk:
        return receive(data)
    pieces = [data[i : i + chunk] for i in range(0, len(data), chunk)]
    return joined([command for piece in pieces for command in receive(piece)])


def joined(commands: Sequence[session.Command]) -> list[session.Command]:
    """As if both sides had got their bytes in one write, before anything else."""
    client = b"".join(c.data for c in commands if isinstance(c, session.ToFrontend))
    server = b"".join(c.data for c in commands if isinstance(c, session.ToBackend))
    rest = [c for c in commands if not isinstance(c, session.ToFrontend | session.ToBackend)]
    bytes_first: list[session.Command] = []
    if client:
        bytes_first.append(session.ToFrontend(client))
    if server:
        bytes_first.append(session.ToBackend(server))
    return bytes_first + rest


def _act(act: session.Act) -> str:
    if not act.parameters:
        return act.sql
    return f"{act.sql} {','.join('NULL' if v is None else v.decode() for v in act.parameters)}"


def _said(frame: wire.Frame) -> str:
    code = chr(frame.code)
    match code:
        case "C":
            return f"C {wire.CommandComplete.decode(frame.body).tag}"
        case "Z":
            return f"Z {wire.ReadyForQuery.decode(frame.body).status}"
        case "E":
            error = wire.ErrorResponse.decode(frame.body)
            return f"{error.severity.replace('ERROR', 'E')} {error.sqlstate} {error.message}"
        case "N":
            return f"N {wire.NoticeResponse.decode(frame.body).message}"
        case "D":
            value = wire.DataRow.decode(frame.body).values[0]
            return f"row {(value or b'').decode()}"
        case "d":
            return f"d {frame.body.decode()}".replace("\n", "/")
        case "S":
            status = wire.ParameterStatus.decode(frame.body)
            return f"S {status.name}={status.value}"
    return code


def _asked(frame: wire.Frame) -> str:
    match wire.decode_frontend(frame):
        case wire.Query(sql):
            return "Q bait" if sql.startswith(BAIT) else f"Q {sql}"
        case wire.Parse(name, sql) if sql in OURS:
            return f"P {name}: {OURS[sql]}"
        case wire.Parse(name, sql):
            return "bait" if sql.startswith(BAIT) else f"P {name}: {sql}"
        case wire.Bind(portal, statement, _, values):
            given = ",".join("NULL" if v is None else v.decode() for v in values)
            return f"B {portal}<{statement} {given}".rstrip()
        case wire.Describe(kind, name):
            return f"D {kind} {name}".rstrip()
        case wire.Close(kind, name):
            return f"C {kind} {name}".rstrip()
        case wire.Execute(portal, rows):
            return f"E {portal} {rows or ''}".rstrip()
        case wire.CopyData(data):
            return f"d {data.decode()}"
        case wire.CopyFail(reason):
            return f"f {reason}"
    return chr(frame.code)
