"""The only file that knows everyone: settings in, a running firewall out."""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Self

import asyncpg
import structlog

from firewall import audit, clock, config, credentials, ids, policy, proxy, web, wire
from firewall.approval import Person, State
from firewall.catalog.introspect import reread
from firewall.desk import Desk
from firewall.errors import CatalogError, ConfigurationError, FirewallError, Place, Problem, StoreError
from firewall.explaining import explain
from firewall.gate import Gate
from firewall.health import Health
from firewall.keyfile import derived, mask_key, signing_key
from firewall.policy.diff import diff
from firewall.posts import open_channels
from firewall.proxy.upstream import tls_context
from firewall.publishing import Publisher, configured
from firewall.retention import retain
from firewall.store import Store
from firewall.web.oidc import Oidc
from firewall.web.server import Server
from firewall.workers import Analysts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence

    from pydantic import SecretStr

    from firewall.catalog import Snapshot
    from firewall.catalog.introspect import Reading
    from firewall.explaining import Explained

log = structlog.get_logger(__name__)

CATALOG_SECONDS = 30
# how long another firewall on the same store may not know of a copy that this one has released
LABELS_SECONDS = 1.0
# how long it takes until a firewall hears what people ask of all of them
SIGNAL_SECONDS = 1.0


class App:
    """A firewall: store, gates, desk, listener, console and, if configured, Slack.

    `start` fails closed: whatever is wrong with settings, policy, key, store or database is an error before
    the first agent can connect.
    """

    def __init__(self, settings: config.Settings, store: Store, key: audit.SigningKey) -> None:
        self.settings = settings
        self.store = store
        self.key = key
        self._mask_key = b""
        self.gates: dict[str, Gate] = {}
        store.keeping.follow(lambda: {name: gate.policy.document.keep for name, gate in self.gates.items()})
        self.desk = Desk(store, self.person)
        self._analysts = Analysts(settings.analysis_workers)
        self._stack = AsyncExitStack()
        self._listener: proxy.Listener | None = None
        self._console: Server | None = None
        self.health = Health(settings, store, self.gates, self._analysts)
        self._reloading = asyncio.Lock()
        self.publisher: Publisher | None = None

    @classmethod
    async def open(cls, settings: config.Settings) -> Self:
        """Open key and store. Raises FirewallError."""
        key = signing_key(settings)
        keep = settings.records.keep
        store = await Store.open(settings.store, origin=settings.origin, key=key, keep=keep)
        return cls(settings, store, key)

    @property
    def port(self) -> int:
        """Where agents connect."""
        assert self._listener is not None
        return self._listener.port

    @property
    def url(self) -> str:
        """Where people decide."""
        settings = self.settings.web
        port = self._console.port if self._console else settings.port
        return settings.url.rstrip("/") or f"http://{settings.host}:{port}"

    async def start(self) -> None:
        """Read policies and catalogs, take over after a crash, open the doors. Raises FirewallError."""
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Say goodbye to agents, then to people, then to the store."""
        if self._listener is not None:
            await self._listener.close()
        await self._stack.aclose()
        await self.store.close()

    def person(self, name: str, database: str) -> Person | None:
        """Who this is to the policy of the database that a hold is about; None for a stranger."""
        gate = self.gates.get(database)
        known = gate.policy.person(name) if gate else None
        return Person(known.name, known.groups) if known else None

    async def _start(self) -> None:
        self._stack.callback(self._analysts.close)
        self._mask_key = mask_key(self.settings, self.key.seed)
        guarded = {name: await self._guard(name, db) for name, db in self.settings.databases.items()}
        await self._adopt()
        self._background(self.desk.watch())
        if self.settings.checkpoints.any:
            self.publisher = self.health.publisher = self._publisher()
            self._background(self.publisher.run())
        if self.settings.records.retention is not None:
            self._background(retain(self.store, timedelta(days=self.settings.records.retention)))
        self._background(self._refresh_catalogs())
        self._background(self._refresh_labels())
        self._background(self._watch_signals((await self.store.signals.read())[0]))
        self._console = Server(web.create_app(self._house()), self.settings.web.host, self.settings.web.port)
        await self._console.start()
        self._stack.push_async_callback(self._console.close)
        for channel in open_channels(self.settings, self.desk, self.store, self.gates):
            self.health.channels.append(channel)
            await channel.start()
            self._stack.push_async_callback(channel.close)
        tls, binding = server_tls(self.settings.listen.tls)
        self._listener = self.health.listener = proxy.Listener(
            proxy.Entrance(
                listen=self.settings.listen,
                tls=tls,
                binding=binding,
                databases=guarded,
                agents=self.store,
                desk=self.desk,
                log=self.store,
                url=self.url,
                origin=self.settings.origin,
                mock_secret=self._derived("scram"),
                max_connections=self.settings.max_connections,
                login_timeout=self.settings.login_timeout,
                agent_connections=self.settings.max_connections_per_agent,
                standing_releases=self.settings.standing_releases,
                idle_timeout=self.settings.idle_timeout,
            )
        )
        await self._listener.start()

    async def reload(self, by: str) -> str:
        """Read every policy again, and put them in force together, between statements; or leave all as it is.

        Returns why the old ones stay, in words for people; empty if the new ones are in force. Never raises.
        """
        async with self._reloading:
            return await self._reload(by)

    async def _reload(self, by: str) -> str:
        records: list[audit.Policy] = []
        loaded: dict[str, policy.Policy] = {}
        refused = ""
        try:
            for name, database in self.settings.databases.items():
                loaded[name] = await asyncio.to_thread(policy.load, database.policy)
        except ConfigurationError as error:
            refused = error.message
        for name, gate in self.gates.items():
            new = gate.policy if refused else loaded[name]
            changes = [str(change) for change in diff(gate.policy, new)]
            records.append(self._in_force(name, new, by, gate.policy.revision, changes, refused))
        try:
            await self.store.append(records)
        except StoreError as error:
            refused = refused or error.message
        if refused:
            log.error("policies not reloaded, the old ones stay", by=by, error=refused)
            return refused
        for name, gate in self.gates.items():
            if loaded[name].revision != gate.policy.revision:
                gate.policy = loaded[name]
                log.info("policy in force", database=name, revision=loaded[name].revision, by=by)
        return ""

    def _in_force(
        self,
        name: str,
        rules: policy.Policy,
        by: str = "",
        before: str = "",
        changes: Sequence[str] = (),
        refused: str = "",
    ) -> audit.Policy:
        return audit.Policy(
            id=ids.record_id(),
            at=clock.stamp(clock.now()),
            database=name,
            revision=rules.revision,
            path=str(self.settings.databases[name].policy),
            mode=rules.mode.value,
            by=by,
            before=before,
            changes=list(changes),
            # a path need not be text
            refused=refused.encode(errors="backslashreplace").decode(),
        )

    async def _watch_signals(self, known: int) -> None:
        """`firewall policy reload` asks every firewall on this store."""
        while True:
            await asyncio.sleep(SIGNAL_SECONDS)
            try:
                number, by = await self.store.signals.read()
            except StoreError as error:
                log.warning("signals not read", error=error.message)
                continue
            if number != known:
                known = number
                await self.reload(by)

    async def _guard(self, name: str, database: config.Database) -> proxy.Guarded:
        rules = policy.load(database.policy)
        secret = config.password(name, database)
        kept = self.store.marks(name)
        reader = catalog_reader(name, database, secret)
        gate = Gate(rules, self._analysts, reader, kept, self.store.past(name))
        await self._analysts.warm(await gate.refresh())
        self.gates[name] = gate
        await self.store.append([self._in_force(name, rules)])
        planner = proxy.Planner(database, secret)
        return proxy.Guarded(name, database, secret, gate, self._mask_key, planner)

    async def _adopt(self) -> None:
        """Holds of this firewall's earlier life have lost their sessions; some stay without one. What its
        statements returned of budgets nobody knows: all that was set aside.
        """
        for hold in await self.store.holds([State.PENDING, State.APPROVED], limit=100_000):
            if hold.origin != self.settings.origin or not hold.awaited:
                continue
            if hold.outlives:
                await self.desk.leave(hold.id, "the firewall was restarted")
            else:
                await self.desk.withdraw(hold.id, "the firewall was restarted")
        for name in self.gates:
            await self.store.past(name).adopt()

    async def _refresh_catalogs(self) -> None:
        while True:
            await asyncio.sleep(self.settings.catalog_refresh)
            for name, gate in self.gates.items():
                try:
                    await gate.refresh()
                    self.health.unread.pop(name, None)
                except CatalogError as error:
                    self.health.unread[name] = error.message
                    log.warning("catalog not refreshed", database=name, error=error.message)

    async def _refresh_labels(self) -> None:
        """Other firewalls on this store label what they let be copied, and people take labels away."""
        while True:
            await asyncio.sleep(LABELS_SECONDS)
            for name, gate in self.gates.items():
                try:
                    await gate.labelling.refresh()
                except StoreError as error:
                    # nothing passes meanwhile
                    log.warning("labels not refreshed", database=name, error=error.message)

    def _house(self) -> web.House:
        return web.House(
            desk=self.desk,
            person_by_token=lambda token: self.store.person_by_token(credentials.token_hash(token)),
            is_person=self._is_person,
            whose_link=lambda secret: self.store.links.take(credentials.token_hash(secret), clock.now()),
            is_named=self._is_named,
            is_approver=lambda name: any(gate.policy.person(name) for gate in self.gates.values()),
            roles=self._roles,
            search=self.store.page,
            statement=self.store.statement_records,
            views=self.store.views,
            summaries=self.store.summaries,
            agents=self.store.agents,
            policies=lambda: {name: gate.policy for name, gate in self.gates.items()},
            prove=self.store.prove,
            explain=self._explain,
            log_key=str(self.key.public),
            verify_log=lambda: self.store.verify([self.key.public]),
            status=self.health.status,
            record=lambda record: self.store.append([record]),
            cookie_key=self._derived("cookie"),
            oidc=self._oidc(),
        )

    def _roles(self, name: str) -> frozenset[web.Role]:
        """By the settings; where they give none, whoever has a credential has all."""
        given = self.settings.web.roles
        found = {web.Role(role) for role, names in given.items() if name in names} if given else web.EVERY
        decides = any(gate.policy.person(name) for gate in self.gates.values())
        return frozenset({*found, *([web.Role.APPROVER] if decides else [])})

    async def _explain(self, agent: str, database: str, text: str) -> Explained | None:
        gate = self.gates.get(database)
        if gate is None:
            return None
        known = await self.store.agent(agent)
        subject = policy.Subject(
            agent=agent,
            owner=known.owner if known else "",
            database=database,
            environment=self.settings.databases[database].environment,
            team=known.team if known else "",
        )
        return await explain(gate, subject, text)

    def _oidc(self) -> Oidc | None:
        known = self.settings.web.oidc
        if known is None:
            return None
        name = known.client_secret_env
        if name and not os.environ.get(name):
            raise FirewallError(f"the settings name `{name}` for the OpenID provider, and it is not set")
        return Oidc(known.issuer, known.client_id, os.environ.get(name, "") if name else "", known.name)

    def _is_named(self, name: str) -> bool:
        if any(name in names for names in self.settings.web.roles.values()):
            return True
        return any(gate.policy.person(name) for gate in self.gates.values())

    async def _is_person(self, name: str) -> bool:
        """Whoever has a token; with an OpenID provider whoever policy or settings name, as well."""
        if self.settings.web.oidc is not None and self._is_named(name):
            return True
        return any(not token.revoked for token in await self.store.tokens(name))

    def _publisher(self) -> Publisher:
        async def record(one: audit.Record) -> None:
            await self.store.append([one])

        return Publisher(
            configured(self.settings.checkpoints),
            lambda: self.store.head(self.settings.origin),
            record,
            every=self.settings.checkpoints.every,
            records=self.settings.checkpoints.records,
        )

    def _derived(self, purpose: str) -> bytes:
        """A secret that outlives restarts, from the one that the operator keeps already."""
        return derived(self.key.seed, purpose)

    def _background(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)

        async def stop() -> None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        self._stack.push_async_callback(stop)


def catalog_reader(
    name: str, database: config.Database, password: SecretStr
) -> Callable[[], Awaitable[Snapshot]]:
    """Reads the catalog as often as it is called; one that has not changed is the same snapshot."""
    last: Reading | None = None

    async def read() -> Snapshot:
        nonlocal last
        last = await _read_catalog(name, database, password, last)
        return last.snapshot

    return read


async def read_catalog(name: str, database: config.Database, password: SecretStr) -> Snapshot:
    """Read it once. Raises CatalogError."""
    return await catalog_reader(name, database, password)()


async def _read_catalog(
    name: str, database: config.Database, password: SecretStr, last: Reading | None
) -> Reading:
    """Introspect over a connection of its own."""
    async with connected(name, database, password) as connection:
        return await reread(connection, last)


@asynccontextmanager
async def connected(
    name: str, database: config.Database, password: SecretStr
) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the firewall's own login, for the catalog and for samples. Raises CatalogError."""
    try:
        connection = await asyncpg.connect(
            host=database.host,
            port=database.port,
            user=database.user,
            password=password.get_secret_value() or None,
            database=database.database,
            ssl=database.sslmode if database.sslmode in {"disable", "prefer"} else tls_context(database),
            timeout=CATALOG_SECONDS,
            command_timeout=CATALOG_SECONDS,
            server_settings={"application_name": "query-firewall catalog"},
        )
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CatalogError(
            f"the catalog of `{name}` cannot be read from `{database.host}:{database.port}`: {error}",
            hint="check host, port, user and password of this database in the settings file",
        ) from None
    try:
        yield connection
    finally:
        await connection.close(timeout=CATALOG_SECONDS)


def server_tls(tls: config.Tls | None) -> tuple[ssl.SSLContext | None, bytes | None]:
    """The context for agents' connections and the channel binding data of its certificate."""
    if tls is None:
        return None, None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["postgresql"])
    # nobody is let in by the certificate of an earlier connection
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    if tls.client_ca is not None:
        try:
            context.load_verify_locations(tls.client_ca)
        except (OSError, ssl.SSLError) as error:
            message = f"the clients' authorities cannot be used: {error}"
            place = Place(tls.client_ca)
            raise ConfigurationError((Problem(place, "listen.tls.client_ca", message),)) from None
        context.verify_mode = ssl.CERT_OPTIONAL
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        certificate = ssl.PEM_cert_to_DER_cert(tls.certificate.read_text())
    except (OSError, ssl.SSLError, ValueError) as error:
        message = f"certificate and key cannot be used: {error}"
        raise ConfigurationError((Problem(Place(tls.certificate), "listen.tls", message),)) from None
    return context, wire.certificate_binding(certificate)
