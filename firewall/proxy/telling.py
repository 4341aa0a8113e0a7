"""What the firewall says: records for the log, notices and refusals for the client.

A refusal names the rule, the hold if there is one, and the next step: an agent reads it and knows what to do.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from firewall import audit, clock, ids
from firewall.approval import Hold, State
from firewall.audit.traces import traceparent
from firewall.proxy.text import printable
from firewall.session import Bounds, Refusal
from firewall.sql import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from firewall.budgets import Taken
    from firewall.errors import CatalogError
    from firewall.judgement import Judgement
    from firewall.policy import Obligations
    from firewall.session import Done

_SEVERITY = {kind: place for place, kind in enumerate(Kind)}

# SQLSTATEs of our own, in a class that the standard leaves to implementations (SQL:2016, 24.1).
REJECTED = "QF001"
EXPIRED = "QF002"
VOIDED = "QF003"
BEYOND = "QF005"
LATE = "QF006"
CHANGED = "QF007"
USED_UP = "QF008"
COME_BACK = "QF010"
NOT_RECORDED = "58030"
NOT_JUDGED = "58000"
INSUFFICIENT_PRIVILEGE = "42501"
CANCELLED = "57014"
# What the log keeps of a value that nobody had to look at; the digest binds all of it.
LONGEST_LOGGED_VALUE = 2000
# What a person can be asked to read.
LONGEST_REVIEWABLE = 1024 * 1024


def correlation(session: str, statement: str = "", hold: str = "") -> dict[str, str]:
    """The fields that every record has."""
    return {
        "id": ids.record_id(),
        "at": clock.stamp(clock.now()),
        "session": session,
        "statement": statement,
        "hold": hold,
    }


def judgement_record(
    judgement: Judgement, session: str, statement: str, *, hold: str = ""
) -> audit.Judgement:
    """The machine's word, whole. hold: whose approval it was given after, if it is not the first."""
    verdict = judgement.verdict
    relations = {e.object for e in judgement.effects if e.type == "relation"}
    return audit.Judgement.model_validate(
        {
            **correlation(session, statement, hold),
            "agent": judgement.subject.agent,
            "owner": judgement.subject.owner,
            "database": judgement.subject.database,
            "environment": judgement.subject.environment,
            "role": judgement.role,
            "sql": printable(judgement.sql),
            "verdict": verdict.action.value,
            "enforced": verdict.enforced,
            "risk": verdict.risk.value,
            "rule": verdict.rule,
            "reasons": reasons(judgement),
            "effects": [
                {
                    "kind": effect.kind.value,
                    "object": printable(effect.object),
                    "columns": [printable(column) for column in effect.columns],
                    "labels": list(effect.labels),
                }
                for effect in judgement.effects
            ],
            "relations": sorted(printable(relation) for relation in relations),
            "labels": list(judgement.labels),
            "opaque": printable(judgement.analysis.opaque),
            "fingerprint": next((s.fingerprint for s in judgement.analysis.statements), ""),
            "revision": verdict.revision,
            "catalog": judgement.catalog,
            "trace": traceparent(judgement.sql),
        }
    )


def reasons(judgement: Judgement, *, deciding: bool = False) -> list[str]:
    """One line each, the rule first; the deciding ones before the others, or they alone."""
    action = judgement.verdict.action
    ordered = sorted(judgement.verdict.reasons, key=lambda reason: reason.action is not action)
    return [
        printable(
            f"{r.rule}: {r.why} ({r.effect}{_labelled(r.labels)})" if r.effect else f"{r.rule}: {r.why}"
        )
        for r in ordered
        if r.action is action or not deciding
    ]


def fault_record(session: str, where: str, error: str) -> audit.Fault:
    """An internal error that ended a session, or a login."""
    return audit.Fault(**correlation(session), where=where, error=printable(error))


def outcome_record(
    done: Done, agent: str, session: str, statement: str, *, hold: str, micros: int
) -> audit.Outcome:
    """Postgres's word."""
    return audit.Outcome(
        **correlation(session, statement, hold),
        agent=agent,
        tag=printable("; ".join(done.tags)),
        rows=rows_of(done.tags) or done.rows,
        bytes=done.size,
        micros=micros,
        sqlstate=done.sqlstate,
        message=printable(done.message),
    )


def rows_of(tags: Iterable[str]) -> int:
    """The rows that command tags count."""
    return sum(int(last) for tag in tags if (last := tag.rpartition(" ")[2]).isdecimal())


def outcome_line(done: Done) -> str:
    """Postgres's word in one line, for the card."""
    return failed(done.message, done.sqlstate) if done.sqlstate else "; ".join(done.tags) or "finished"


def failed(message: str, sqlstate: str) -> str:
    """What Postgres said of a statement that failed."""
    return f"failed: {message} ({sqlstate})"


def denied(judgement: Judgement) -> Refusal:
    """A rule forbids it."""
    verdict = judgement.verdict
    return Refusal(
        INSUFFICIENT_PRIVILEGE,
        f"query-firewall: denied by rule `{verdict.rule}`",
        detail=printable(verdict.why),
        hint="no approval is possible for this; ask the policy's owner if the rule is wrong",
    )


def undecided(hold: Hold, url: str = "") -> Refusal:
    """The hold has ended without leave, or the agent does not wait for it any longer."""
    last = hold.votes[-1] if hold.votes else None
    match hold.state:
        case State.PENDING:
            return Refusal(
                COME_BACK,
                f"query-firewall: hold {hold.id} is still pending",
                detail=f"it is decided {_where(hold, url)} until {_moment(hold.expires_at)}",
                hint="send the identical statement again later: it waits on, or runs once if it was approved",
            )
        case State.REJECTED:
            why = f": {last.reason}" if last and last.reason else ""
            return Refusal(
                REJECTED,
                f"query-firewall: hold {hold.id} was rejected by {hold.decided_by}{printable(why)}",
                detail=f"rule `{hold.rule}` requires approval by {' or '.join(hold.groups)}",
                hint="change the statement, or talk to the approver before you send it again",
            )
        case State.EXPIRED:
            return Refusal(
                EXPIRED,
                f"query-firewall: hold {hold.id} expired, nobody decided in time",
                detail=f"rule `{hold.rule}` requires approval by {' or '.join(hold.groups)}",
                hint="send the statement again when an approver is there",
            )
        case State.WITHDRAWN | State.LAPSED:
            return Refusal(
                CANCELLED, "canceling statement due to user request", detail=f"hold {hold.id} is withdrawn"
            )
        case _:
            return voided(hold)


def voided(hold: Hold, why: str = "it was spent or given up meanwhile") -> Refusal:
    """Approved, but not what would run now."""
    return Refusal(
        VOIDED,
        f"query-firewall: the approval of hold {hold.id} is void",
        detail=printable(why),
        hint="send the statement again; it will be judged as things are now",
    )


def bounds(judgement: Judgement, owed: Obligations, taken: Taken | None) -> Bounds:
    """What sessions see to, and the errors of statements that go beyond. taken: of budgets, if they count."""
    rule = judgement.verdict.rule
    most, within = owed.max_rows, owed.statement_timeout
    beyond = Refusal(
        BEYOND,
        f"query-firewall: the result was stopped after {most} rows, more are not allowed at a time",
        detail=f"rule `{rule}` lets this run with at most {most} rows returned",
        hint="ask for less: add a condition or a LIMIT, or aggregate",
    )
    if taken is not None and (most is None or taken.rows < most):
        most = taken.rows
        beyond = _used_up(judgement, most)
    late = Refusal(
        LATE,
        f"query-firewall: the statement was cancelled after {within or 0:g} s, which is all that it may take",
        detail=f"rule `{rule}` lets this run for at most {within or 0:g} s",
        hint="ask for less, or ask for it in parts",
    )
    changes = owed.max_affected_rows
    too_many = Refusal(
        CHANGED,
        f"query-firewall: the change was undone, because it concerned more than {changes} rows",
        detail=f"rule `{rule}` lets this run with at most {changes} rows changed, with all that they set off",
        hint="change less at a time, or check the condition",
    )
    return Bounds(most, within, beyond, late, changes=changes, too_many=too_many, read_only=owed.read_only)


def _used_up(judgement: Judgement, most: int) -> Refusal:
    """It came to the end of a budget while it ran."""
    names = ", ".join(f"`{name}`" for name in judgement.verdict.budgets)
    return Refusal(
        USED_UP,
        f"query-firewall: the result was stopped after {most} rows, which is all that was left of {names}",
        detail="rows of this data are counted for each agent in a sliding window, over all its statements",
        hint="send it again to have a person decide, or when older rows have left the window",
    )


def not_maskable(judgement: Judgement) -> Refusal:
    """Columns of it are to be masked, and where they are in what it returns cannot be told."""
    verdict = judgement.verdict
    kinds = {effect.kind for effect in judgement.effects}
    hint = "select the columns by themselves, and compute with them on your side"
    if Kind.COPY_OUT in kinds:
        hint = "copy TO STDOUT with fewer options, or run the query itself; its rows arrive masked"
    elif Kind.SETTING in kinds or Kind.NOTIFY in kinds:
        hint = "do not put masked columns into settings or notifications; select them by themselves"
    return Refusal(
        INSUFFICIENT_PRIVILEGE,
        f"query-firewall: rule `{verdict.rule}` lets this run with masks, and what to mask cannot be told",
        detail=printable(str(verdict.obligations)),
        hint=hint,
    )


def not_countable(judgement: Judgement, what: str) -> Refusal:
    """It may change rows that Postgres does not count."""
    owed = judgement.verdict.obligations
    return Refusal(
        INSUFFICIENT_PRIVILEGE,
        "query-firewall: the rows that this changes cannot be counted, and only so many may be changed",
        detail=printable(
            f"rule `{judgement.verdict.rule}` allows at most {owed.max_affected_rows}; not counted: {what}"
        ),
        hint="change rows by INSERT, UPDATE, DELETE, MERGE or COPY FROM STDIN; or ask the policy's owner",
    )


def not_read_only(judgement: Judgement) -> Refusal:
    """It may end the transaction that is read only."""
    return Refusal(
        INSUFFICIENT_PRIVILEGE,
        "query-firewall: what can begin transactions of its own does not run read only",
        detail=printable(f"rule `{judgement.verdict.rule}` lets this run read only"),
        hint="run the queries inside it one by one",
    )


def owing(judgement: Judgement) -> list[str]:
    """Under which obligations an approved statement runs."""
    owed = judgement.verdict.obligations
    return [printable(f"if approved, it runs with {owed}")] if owed else []


def not_by_one() -> Refusal:
    """Several statements in one Query share one answer."""
    return Refusal(
        "0A000",
        "query-firewall: statements under obligations cannot be sent together in one query",
        hint="send them one at a time",
    )


def no_cursor() -> Refusal:
    """What is fetched from it would be nobody's rows."""
    return Refusal(
        "0A000",
        "query-firewall: cursors cannot be used with or after statements under obligations",
        hint="run the query itself, in parts if it returns much; or fetch in another session",
    )


def too_long() -> Refusal:
    """Nobody could review it."""
    return Refusal(
        "54000",
        f"query-firewall: a statement that needs approval may be {LONGEST_REVIEWABLE >> 20} MiB long at most",
        hint="use COPY, or bind the values as parameters of smaller statements",
    )


def not_recorded(why: str) -> Refusal:
    """The log cannot be written, so nothing passes."""
    return Refusal(
        NOT_RECORDED,
        "query-firewall: the statement was not run, because the log could not be written",
        detail=printable(why),
        hint="tell the operator of the firewall; statements pass again when the store does",
    )


def not_judged(error: CatalogError) -> Refusal:
    """Nobody knows what it would do, because the database cannot be asked what it is."""
    return Refusal(
        NOT_JUDGED,
        f"query-firewall: the statement was not run, it could not be judged: {printable(error.message)}",
        hint=printable(error.hint),
    )


def waiting(hold: Hold, url: str) -> tuple[str, str, str]:
    """Message, detail and hint of the notice that a held statement gets at once."""
    return (
        f"query-firewall: hold {hold.id}, waiting for approval by {' or '.join(hold.groups)}",
        "\n".join(hold.reasons[:5]),
        f"it is decided {_where(hold, url)}, and expires at {_moment(hold.expires_at)}",
    )


def _where(hold: Hold, url: str) -> str:
    return f"at {url}/holds/{hold.id}" if url else f"with `firewall holds approve {hold.id}`"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def kin(judgement: Judgement) -> str:
    """Equal for statements of one agent that are held by one rule and differ in literals only."""
    shapes = [statement.fingerprint or statement.sql for statement in judgement.analysis.statements]
    subject = judgement.subject
    told = "\0".join([subject.agent, subject.database, judgement.verdict.rule, *(shapes or [judgement.sql])])
    return sha256(told.encode(errors="surrogatepass")).hexdigest()[:16]


def still_waiting(hold: Hold, seconds: float) -> tuple[str, str, str]:
    """The notice that follows every half minute."""
    minutes, rest = divmod(int(seconds), 60)
    return f"query-firewall: hold {hold.id} is still pending, expires in {minutes}:{rest:02d}", "", ""


def effects(judgement: Judgement) -> tuple[str, ...]:
    """What it would do, one line each without repetition, the most severe first."""
    ordered = sorted(judgement.effects, key=lambda effect: _SEVERITY[effect.kind], reverse=True)
    return tuple(dict.fromkeys(printable(str(effect)) for effect in ordered))


def _labelled(labels: tuple[str, ...]) -> str:
    return f" labelled {', '.join(labels)}" if labels else ""
