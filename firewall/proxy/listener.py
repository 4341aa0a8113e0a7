"""Accepts agents, introduces each to its database, and knows who may cancel what."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

import structlog

from firewall import audit, ids, session, sql, wire
from firewall.errors import FirewallError, ProtocolViolation, StoreError
from firewall.policy import Subject
from firewall.proxy import login, parameters, telling, text, upstream
from firewall.proxy.behind import Behind
from firewall.proxy.clearance import Clearance
from firewall.proxy.conversation import Conversation
from firewall.proxy.door import Door
from firewall.proxy.link import Keepalive, Link, maker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firewall.proxy.guarded import Entrance, Guarded

log = structlog.get_logger(__name__)

# 4 bytes for protocol 3.0, 32 of the up to 256 that 3.2 allows (manual 53.7, BackendKeyData).
SHORT_KEY, LONG_KEY = 4, 32
DRAIN_SECONDS = 10
# Connections that have not logged in yet, beside those that may. Cancel requests come by them too.
MAX_STRANGERS = 200
# Idleness is looked for so many times within the time that it is allowed; it may last longer by one of them.
IDLE_LOOKS = 4


class Listener:
    """One listening port and the conversations behind it."""

    def __init__(self, entrance: Entrance) -> None:
        self._house = entrance
        self._server: asyncio.Server | None = None
        self._guests: set[asyncio.Task[None]] = set()
        self._strangers: set[asyncio.Task[None]] = set()
        self._admitted = 0
        self._of_agent: Counter[str] = Counter()
        self._quiet: dict[tuple[int, bytes], int] = {}
        self._watching: asyncio.Task[None] | None = None
        self._door = Door(entrance.log)
        self._conversations: dict[tuple[int, bytes], Conversation] = {}
        self._closing = False
        self._behind = Behind(entrance.log)

    @property
    def port(self) -> int:
        """The port that is listened on; the one that the system chose if 0 was asked for."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def sessions(self) -> int:
        return len(self._conversations)

    async def start(self) -> None:
        """Raises FirewallError when the port cannot be had."""
        loop = asyncio.get_running_loop()
        listen = self._house.listen
        alive = listen.keepalive
        keepalive = Keepalive(alive.idle, alive.interval, alive.count)
        try:
            self._server = await loop.create_server(
                maker(self._admit, keepalive), listen.host, listen.port, backlog=512
            )
        except OSError as error:
            raise FirewallError(
                f"cannot listen on `{listen.host}:{listen.port}`: {error.strerror or error}",
                hint="choose another `listen.port` in the settings file",
            ) from None
        if self._house.idle_timeout:
            self._watching = loop.create_task(self._watch())

    async def close(self) -> None:
        """Take nobody in any more, tell everyone goodbye, and wait until what they did is recorded."""
        self._closing = True
        if self._watching is not None:
            self._watching.cancel()
        if self._server is not None:
            self._server.close()
        for task in self._strangers:
            task.cancel()
        for conversation in tuple(self._conversations.values()):
            conversation.shut_down()
        if self._guests:
            await asyncio.wait(self._guests, timeout=DRAIN_SECONDS)
        for conversation in tuple(self._conversations.values()):
            conversation.shut_down(at_once=True)
        if self._guests:
            _, late = await asyncio.wait(self._guests, timeout=DRAIN_SECONDS)
            for task in late:
                task.cancel()
        await self._behind.close()
        if self._server is not None:
            await self._server.wait_closed()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._house.idle_timeout / IDLE_LOOKS)
            self.look_for_idle()

    def look_for_idle(self) -> None:
        """End the sessions that were quiet at this look and at enough of them before it."""
        quiet = {key: one for key, one in self._conversations.items() if one.quiet()}
        self._quiet = {key: self._quiet.get(key, 0) + 1 for key in quiet}
        for key, looks in tuple(self._quiet.items()):
            if looks >= IDLE_LOOKS:
                quiet[key].time_out()

    def _admit(self, link: Link) -> None:
        if len(self._strangers) >= MAX_STRANGERS or self._closing:
            self._door.passed_over()
            _dismiss(link, "53300", "sorry, too many clients are logging in already", "try again")
            link.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(link))
        for tasks in (self._guests, self._strangers):
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _serve(self, link: Link) -> None:
        try:
            await self._introduce(link)
        except login.PeerGone:
            pass
        except ProtocolViolation as error:
            _dismiss(link, error.sqlstate, error.message, error.hint)
        except TimeoutError:
            await self._door.turned_away(link.address, "the login took too long")
            _dismiss(link, "08006", "the login took too long", "log in at once after connecting")
        except StoreError as error:
            log.warning("store failed during login", error=error.message)
            _dismiss(link, telling.NOT_RECORDED, "the firewall's store cannot be used", "tell its operator")
        except FirewallError as error:
            _dismiss(link, getattr(error, "sqlstate", "XX000"), error.message, error.hint)
        except asyncio.CancelledError:
            link.abort()
            raise
        except Exception:
            # INVARIANT: 9. an internal error closes the session, both sides, and is recorded
            log.exception("a login failed")
            with suppress(StoreError):
                await self._house.log.append([telling.fault_record("", "login", "internal error")])
            _dismiss(link, "XX000", "internal error in query-firewall", "")
        finally:
            link.close()

    async def _introduce(self, link: Link) -> None:
        house = self._house
        async with asyncio.timeout(house.login_timeout):
            try:
                message = await login.greet(link, house.tls, require_tls=house.listen.require_tls)
            except ProtocolViolation as error:
                await self._door.turned_away(link.address, error.message)
                raise
            match message:
                case wire.CancelRequest(pid, key):
                    conversation = self._conversations.get((pid, key))
                    if conversation is not None:
                        conversation.cancel()
                    return
                case wire.StartupMessage():
                    pass
                case _:
                    assert_never(message)
            if self._admitted >= house.max_connections or self._closing:
                raise login.LoginRefused("sorry, too many clients already", sqlstate="53300")
            self._admitted += 1
            try:
                visit = await self._log_in(link, message)
            except BaseException:
                self._admitted -= 1
                raise
        agent = visit.arrival.agent
        try:
            task = asyncio.current_task()
            assert task is not None
            self._strangers.discard(task)
            await visit.stay()
        finally:
            self._admitted -= 1
            self._leave(agent)

    async def _log_in(self, link: Link, startup: wire.StartupMessage) -> _Visit:
        house = self._house
        negotiation = wire.negotiate(startup)
        if negotiation is not None:
            link.write(negotiation.encode())
        name = startup.get("user") or ""
        wanted = startup.get("database") or name
        arrival = Arrival(ids.session_id(), name, wanted, link.address, startup.get("application_name") or "")
        try:
            settings = parameters.for_upstream(startup)
            agent = await self._known(link, name)
            guarded = self._guarded(wanted)
            self._sit(name)
        except (login.LoginRefused, ProtocolViolation) as error:
            reason = error.reason if isinstance(error, login.LoginRefused) else error.message
            await house.log.append([arrival.record("refused", why=reason)])
            raise
        try:
            back = await self._connect(arrival, guarded, settings, agent.owner)
        except BaseException:
            self._leave(name)
            raise
        subject = Subject(name, agent.owner, guarded.name, guarded.database.environment, agent.team)
        # INVARIANT: 7. a requester's vote never counts: the agent, its owner, whoever issued its credential
        requesters = frozenset({name, agent.owner, agent.issuer} - {""})
        clearance = Clearance(arrival.id, subject, requesters, guarded, house, self._behind, back.pid)
        machine = session.Session(
            reserved=f"query_firewall_{secrets.token_hex(8)}",
            facts=_facts(guarded, settings),
            parameters=dict(back.parameters),
        )
        conversation = Conversation(link, back, machine, guarded, clearance, house.log)
        return _Visit(self, link, wire.agreed_minor(startup), arrival, back, conversation)

    def _sit(self, agent: str) -> None:
        """Take one of this agent's seats; only who has proved to be it can fill them."""
        seats = self._house.agent_connections
        if seats is not None and self._of_agent[agent] >= seats:
            raise login.LoginRefused(f'too many connections for role "{agent}"', sqlstate="53300")
        self._of_agent[agent] += 1

    def _leave(self, agent: str) -> None:
        self._of_agent[agent] -= 1
        if not self._of_agent[agent]:
            del self._of_agent[agent]

    async def _connect(
        self, arrival: Arrival, guarded: Guarded, settings: dict[str, str], owner: str
    ) -> upstream.Upstream:
        """A connection to the database for a session that is on record."""
        try:
            back = await self._reach(guarded, settings)
        except upstream.UpstreamRefused as error:
            await self._house.log.append([arrival.record("refused", why=error.message)])
            raise
        try:
            await self._house.log.append([arrival.record("opened", owner=owner)])
        except BaseException:
            back.link.abort()
            raise
        return back

    async def _known(self, link: Link, name: str) -> login.AgentRow:
        row = await self._house.agents.agent(name)
        binding = self._house.binding if link.tls is not None else None
        return await login.authenticate(link, name, row, self._house.mock_secret, binding)

    def _guarded(self, wanted: str) -> Guarded:
        guarded = self._house.databases.get(wanted)
        if guarded is None:
            raise login.LoginRefused(
                f'database "{wanted}" does not exist',
                sqlstate="3D000",
                hint=f"query-firewall guards: {', '.join(sorted(self._house.databases))}",
            )
        return guarded

    async def _reach(self, guarded: Guarded, settings: dict[str, str]) -> upstream.Upstream:
        try:
            return await upstream.connect(guarded.database, guarded.password, settings)
        except upstream.UpstreamRefused as error:
            log.warning("upstream refused", database=guarded.name, error=error.message)
            if error.sqlstate.startswith("28"):
                # its words name the firewall's own login, which is no business of an agent's
                raise upstream.UpstreamRefused(
                    "the database refused the firewall's own login",
                    sqlstate="08004",
                    hint="tell the operator of the firewall",
                ) from error
            raise


@dataclass(frozen=True, slots=True)
class Arrival:
    """A client at the door, as it says who it is."""

    id: str
    agent: str
    database: str
    address: str
    application: str

    def record(self, event: str, *, owner: str = "", why: str = "") -> audit.Session:
        """That it came in, was turned away, or left."""
        return audit.Session.model_validate(
            {
                **telling.correlation(self.id),
                "event": event,
                "agent": text.printable(self.agent),
                "owner": owner,
                "database": text.printable(self.database),
                "address": self.address,
                "application": text.printable(self.application),
                "why": text.printable(why),
            }
        )


@dataclass(frozen=True, slots=True)
class _Visit:
    """A client that has been let in."""

    listener: Listener
    link: Link
    minor: int
    arrival: Arrival
    back: upstream.Upstream
    conversation: Conversation

    async def stay(self) -> None:
        conversations = self.listener._conversations  # noqa: SLF001 — a part of the listener
        # the process is the server's, by which clients know their own notifications; the key is ours
        pid = self.back.pid or secrets.randbelow(2**31 - 1) + 1
        length = LONG_KEY if self.minor >= 2 else SHORT_KEY
        while (pid, key := secrets.token_bytes(length)) in conversations:
            pass  # of another server
        conversations[pid, key] = self.conversation
        try:
            greeting = [wire.AuthenticationOk().encode()]
            greeting += [wire.ParameterStatus(name, value).encode() for name, value in self.back.parameters]
            greeting += [wire.BackendKeyData(pid, key).encode(), wire.ReadyForQuery("I").encode()]
            self.link.write(b"".join(greeting))
            why = await self.conversation.run()
        finally:
            del conversations[pid, key]
            self.back.link.close()
        await self.listener._behind.written()  # noqa: SLF001 — as above
        await self.listener._house.log.append([self.arrival.record("closed", why=why)])  # noqa: SLF001 — as above


def _facts(guarded: Guarded, settings: Mapping[str, str]) -> sql.Facts:
    """What names mean in a fresh session of the firewall's login with these startup settings."""
    snapshot = guarded.gate.snapshot
    path: tuple[str, ...] | None = snapshot.search_path
    if "search_path" in settings:
        path = parameters.search_path(settings["search_path"])
    return sql.Facts(database=guarded.name, role=snapshot.role, search_path=path)


def _dismiss(link: Link, sqlstate: str, message: str, hint: str) -> None:
    link.write(wire.error(severity="FATAL", sqlstate=sqlstate, message=message, hint=hint).encode())
