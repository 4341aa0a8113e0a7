"""Outgoing webhooks: every event of a hold, signed, in the log's order, until the receiver has taken it.

What is sent is read from the log itself, so nothing has to be queued and nothing is lost by a crash: all that
is kept is how far the receiver has come. An event whose answer was lost is sent again with the same id.
Signed as the Standard Webhooks specification says: HMAC-SHA256 over id, timestamp and body.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import structlog

from firewall import clock
from firewall.channels import Standing
from firewall.errors import FirewallError, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from firewall import audit
    from firewall.approval import Hold
    from firewall.channels.cards import Cards
    from firewall.desk import Desk

    # records about holds from an index on, in order, so many at most; and from which index there may be more
    Events = Callable[[int, int], Awaitable[tuple[list[tuple[int, audit.Record]], int]]]

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 1.0
CALL_SECONDS: Final = 15.0
MAX_BACKOFF_SECONDS: Final = 300.0
# events read at once; and how far the log may grow without any before that is kept
PAGE: Final = 100
STRIDE: Final = 10_000
# of the specification, which asks for 24 to 64 bytes
MIN_SECRET_BYTES: Final = 24
_PREFIX = "whsec_"
# an alarm is sent whatever a receiver asks for
ALARM: Final = "break_glass"
# no log comes to so many records
_FAR = 2**62
# sent only to receivers that are to see them
_VALUES = frozenset({"parameters"})


@dataclass(frozen=True, slots=True)
class Webhook:
    """One receiver. secret: `whsec_` and base64, or any text. statements: whether SQL and values are sent."""

    name: str
    url: str = field(repr=False)
    secret: str = field(repr=False)
    events: frozenset[str] = frozenset()
    statements: bool = False
    retry_seconds: float = 1.0

    def key(self) -> bytes:
        """Raises FirewallError for a secret that is too short to keep."""
        given = self.secret.removeprefix(_PREFIX)
        try:
            key = base64.b64decode(given, validate=True) if given != self.secret else given.encode()
        except binascii.Error:
            key = b""
        if len(key) < MIN_SECRET_BYTES:
            raise FirewallError(
                f"the secret of webhook `{self.name}` is shorter than {MIN_SECRET_BYTES} bytes or no base64",
                hint=f'make one: echo "{_PREFIX}$(openssl rand -base64 32)"',
            )
        return key


class Webhooks:
    """Sends the events of this log's holds to one receiver. cards: where is kept how far it has come."""

    def __init__(self, webhook: Webhook, desk: Desk, events: Events, cards: Cards, origin: str) -> None:
        self._webhook = webhook
        self._key = webhook.key()
        self._desk = desk
        self._events = events
        self._cards = cards
        self._origin = origin
        self._place = f"webhook {webhook.name} {origin}"
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failing = ""
        # events that were read and not yet sent
        self._behind = 0
        self._unlisten: Callable[[], None] = lambda: None

    @property
    def standing(self) -> Standing:
        return Standing(f"webhook {self._webhook.name}", self._failing, self._behind)

    async def start(self) -> None:
        """Go on where the receiver has come to; a new receiver begins with what happens from now on."""
        if await self._cards.get(self._place) is None:
            _, head = await self._events(_FAR, 1)
            await self._cards.put(self._place, str(head))
        self._unlisten = self._desk.listen(lambda _: self._wake.set())
        self._task = asyncio.create_task(self._run(), name=self._place)

    async def close(self) -> None:
        self._unlisten()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as http:
            tries = 0
            kept = at = -1
            while True:
                try:
                    if at < 0:
                        kept = at = int(await self._cards.get(self._place) or 0)
                    records, after = await self._events(at, PAGE)
                    self._behind = len(records)
                    for index, record in records:
                        wanted = self._webhook.events
                        if not wanted or record.kind in wanted or record.kind == ALARM:
                            await self._send(http, index, record)
                            await self._cards.put(self._place, str(index + 1))
                            kept, tries = index + 1, 0
                        at = index + 1
                        self._behind -= 1
                    at, self._failing = after, ""
                    if at - kept > STRIDE:
                        await self._cards.put(self._place, str(at))
                        kept = at
                except (StoreError, _NotTaken, aiohttp.ClientError, OSError, TimeoutError) as error:
                    tries += 1
                    seconds = min(
                        self._webhook.retry_seconds * float(2 ** min(tries - 1, 16)), MAX_BACKOFF_SECONDS
                    )
                    if isinstance(error, _NotTaken):
                        seconds = min(max(seconds, error.after), MAX_BACKOFF_SECONDS)
                    self._failing = f"events are not taken ({_said(error)})"
                    log.warning(
                        "webhook not delivered",
                        webhook=self._webhook.name,
                        error=_said(error),
                        again_in=seconds,
                    )
                    await asyncio.sleep(seconds)
                except Exception as error:  # noqa: BLE001 — what cannot be sent now must not end the sending
                    self._failing = f"events cannot be sent ({type(error).__name__})"
                    log.error("webhook fails", webhook=self._webhook.name, error=type(error).__name__)  # noqa: TRY400 — no traceback reaches a person
                    await asyncio.sleep(MAX_BACKOFF_SECONDS)
                else:
                    if not records:
                        await self._pause()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
        self._wake.clear()

    async def _send(self, http: aiohttp.ClientSession, index: int, record: audit.Record) -> None:
        hold = await self._desk.hold(record.hold)
        body = json.dumps(self._body(index, record, hold), separators=(",", ":")).encode()
        stamp = str(int(clock.now().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "query-firewall",
            "webhook-id": record.id,
            "webhook-timestamp": stamp,
            "webhook-signature": signature(self._key, record.id, stamp, body),
        }
        async with http.post(self._webhook.url, data=body, headers=headers, allow_redirects=False) as answer:
            if not 200 <= answer.status < 300:
                raise _NotTaken(answer.status, answer.headers.get("Retry-After", ""))

    def _body(self, index: int, record: audit.Record, hold: Hold | None) -> dict[str, Any]:
        hidden = frozenset() if self._webhook.statements else _VALUES
        return {
            "type": f"firewall.{record.kind}",
            "timestamp": record.at,
            "data": {
                "log": self._origin,
                "index": index,
                "record": record.model_dump(mode="json", exclude=set(hidden)),
                "hold": _shown(hold, statements=self._webhook.statements) if hold else None,
            },
        }


class _NotTaken(Exception):
    """The receiver answered, and not that it has taken the event."""

    def __init__(self, status: int, retry_after: str) -> None:
        super().__init__(status)
        self.status = status
        self.after = float(retry_after) if retry_after.isdecimal() and len(retry_after) < 10 else 0.0


def signature(key: bytes, event: str, stamp: str, body: bytes) -> str:
    """As in the header `webhook-signature`."""
    signed = hmac.digest(key, f"{event}.{stamp}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(signed).decode()}"


def _said(error: Exception) -> str:
    """Never the message of a client error, which may quote the URL."""
    match error:
        case _NotTaken():
            return f"status {error.status}"
        case StoreError():
            return error.message
        case _:
            return type(error).__name__


def _shown(hold: Hold, *, statements: bool) -> dict[str, Any]:
    """The hold as it stands when the event is sent, for receivers that route and count."""
    found: dict[str, Any] = {
        "id": hold.id,
        "state": hold.state.value,
        "opened_at": clock.stamp(hold.opened_at),
        "expires_at": clock.stamp(hold.expires_at),
        "agent": hold.agent,
        "owner": hold.owner,
        "database": hold.database,
        "environment": hold.environment,
        "role": hold.role,
        "rule": hold.rule,
        "risk": hold.risk,
        "reasons": list(hold.reasons),
        "effects": list(hold.effects),
        "labels": list(hold.labels),
        "groups": list(hold.deciders(clock.now())),
        "quorum": hold.quorum,
        "digest": hold.digest,
        "executions": hold.executions,
    }
    if statements:
        ran = [
            {"sql": each.sql, "outcome": each.outcome, "standing": each.standing.value} for each in hold.ran
        ]
        found |= {"sql": hold.sql, "parameters": list(hold.parameters), "ran": ran}
    return found
