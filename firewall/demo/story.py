"""The scripted agent: what it asks, and what becomes of each."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import aiohttp
import psycopg

from firewall.approval import State
from firewall.errors import FirewallError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firewall.approval import Hold
    from firewall.demo.stage import Stage
    from firewall.demo.teller import Teller

SHOWN_ROWS = 4
# the unattended approver looks for work this often
LOOK_SECONDS = 0.05


class Ending(StrEnum):
    """What is to become of a step; the story fails where it ends otherwise."""

    FLOWS = "flows"
    DENIED = "denied"
    NATIVE_ERROR = "native error"
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of the agent: why it asks, what it asks, and how the unattended story ends it."""

    why: str
    sql: str
    ending: Ending
    word: str = ""


STEPS: tuple[Step, ...] = (
    Step(
        "what sells best",
        "SELECT p.name, sum(i.quantity) AS sold\n"
        "FROM order_items AS i JOIN products AS p ON p.id = i.product_id\n"
        "GROUP BY p.name ORDER BY sold DESC LIMIT 3",
        Ending.FLOWS,
    ),
    Step("how many orders are open", "SELECT status, count(*) FROM orders GROUP BY status", Ending.FLOWS),
    Step(
        "a slip of the keyboard",
        "SELECT count(*) FROM ordrs",
        Ending.NATIVE_ERROR,
    ),
    Step(
        "the cards behind yesterday's payments",
        "SELECT card_holder, card_number, amount FROM payments ORDER BY paid_at DESC LIMIT 4",
        Ending.APPROVED,
        "chargeback 4711, four rows are fine",
    ),
    Step(
        "tidy up the returned orders",
        "DELETE FROM orders WHERE status = 'returned'",
        Ending.REJECTED,
        "finance still needs them, archive instead",
    ),
    Step("make the next report easier", "GRANT SELECT ON employees TO PUBLIC", Ending.DENIED),
)


async def play(stage: Stage, tell: Teller, *, unattended: bool) -> None:
    """The agent's session, step by step. Raises FirewallError if an unattended step ends otherwise."""
    async with await psycopg.AsyncConnection.connect(stage.dsn, autocommit=True) as connection:
        connection.add_notice_handler(
            lambda d: tell.notice(d.message_primary or "", d.message_detail or "", d.message_hint or "")
        )
        for step in STEPS:
            tell.asks(step.why, step.sql)
            approver = asyncio.create_task(_decide(stage, step, tell)) if unattended else None
            try:
                ending = await _ask(connection, step, tell)
            finally:
                if approver is not None:
                    approver.cancel()
                    await asyncio.wait([approver])
            if unattended and ending is not step.ending:
                raise FirewallError(f"`{step.why}` should have ended as {step.ending}, and ended as {ending}")


async def _ask(connection: psycopg.AsyncConnection, step: Step, tell: Teller) -> Ending:
    waited = tell.notices
    try:
        cursor = await connection.execute(step.sql.encode())
        rows: Sequence[tuple[object, ...]] = await cursor.fetchmany(SHOWN_ROWS) if cursor.description else ()
    except psycopg.Error as error:
        tell.error(
            error.sqlstate or "", error.diag.message_primary or str(error), error.diag.message_hint or ""
        )
        if error.sqlstate == "42501":
            return Ending.DENIED
        return Ending.REJECTED if (error.sqlstate or "").startswith("QF") else Ending.NATIVE_ERROR
    names = [column.name for column in cursor.description or ()]
    tell.result(names, rows, cursor.statusmessage or "")
    return Ending.APPROVED if tell.notices > waited else Ending.FLOWS


async def _decide(stage: Stage, step: Step, tell: Teller) -> None:
    """The approver of the unattended demo, through the same HTTP API that a person's program uses."""
    headers = {"Authorization": f"Bearer {stage.person_token}"}
    async with aiohttp.ClientSession(stage.app.url, headers=headers) as http:
        hold = await _pending(stage)
        verb = "approve" if step.ending is Ending.APPROVED else "deny"
        tell.decides(verb, hold.id, step.word)
        async with http.post(f"/api/v1/holds/{hold.id}/{verb}", json={"reason": step.word}) as answer:
            if answer.status != 200:
                tell.trouble(f"the API said {answer.status}: {(await answer.text())[:300]}")


async def _pending(stage: Stage) -> Hold:
    while True:
        found = await stage.app.store.holds([State.PENDING])
        if found:
            return found[0]
        await asyncio.sleep(LOOK_SECONDS)
