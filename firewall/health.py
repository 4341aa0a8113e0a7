"""How the firewall stands at this moment, for the console's page and for whoever asks whether it is ready."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING

from firewall import clock, web
from firewall.approval import State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from firewall.channels import Channel
    from firewall.config import Settings
    from firewall.gate import Gate
    from firewall.proxy import Listener
    from firewall.publishing import Publisher
    from firewall.store import Store
    from firewall.workers import Analysts

MAX_PENDING = 10_000
# a catalog that was not read for so many of its intervals is late
LATE = 3


@dataclass(slots=True)
class Health:
    """What it looks at; the app puts in what it opens. unread: why a catalog could not be read last."""

    settings: Settings
    store: Store
    gates: Mapping[str, Gate]
    analysts: Analysts
    listener: Listener | None = None
    publisher: Publisher | None = None
    channels: list[Channel] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)
    began: datetime = field(default_factory=clock.now)

    async def status(self) -> web.Status:
        """Raises StoreError."""
        pending = await self.store.holds([State.PENDING], limit=MAX_PENDING)
        return web.Status(
            databases=tuple(self._database(name, gate) for name, gate in self.gates.items()),
            sessions=self.listener.sessions if self.listener else 0,
            pending=len(pending),
            oldest=min((hold.opened_at for hold in pending), default=None),
            version=version("query-firewall"),
            began=self.began,
            log=web.Kept(
                place=self.store.where,
                bytes=await self.store.weight(),
                records=await self.store.size(),
                keep=self.settings.records.keep.value,
                retention=self.settings.records.retention,
            ),
            places=tuple(
                web.CheckpointPlace(one.place, one.size, one.at, one.failing)
                for one in (self.publisher.standing if self.publisher else ())
            ),
            channels=tuple(
                web.Reached(one.name, one.failing, one.behind)
                for one in (channel.standing for channel in self.channels)
            ),
            workers=web.Workers(
                self.analysts.workers, len(self.analysts.pids), self.analysts.busy, self.analysts.lost
            ),
        )

    def _database(self, name: str, gate: Gate) -> web.Database:
        late = timedelta(seconds=LATE * self.settings.catalog_refresh)
        old = gate.read_at is None or clock.now() - gate.read_at > late
        why = self.unread.get(name, "") or ("it is not read any more" if old else "")
        return web.Database(
            name,
            self.settings.databases[name].environment,
            gate.policy.revision,
            gate.policy.mode.value,
            catalog=gate.snapshot.version,
            relations=len(gate.snapshot.relations),
            read_at=gate.read_at,
            unread=why,
        )
