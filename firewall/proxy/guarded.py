"""What the edge needs of the house: the databases that it guards, who may come in, desk and log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence

    from pydantic import SecretStr

    from firewall import audit, config
    from firewall.desk import Desk
    from firewall.gate import Gate
    from firewall.proxy.login import AgentRow
    from firewall.proxy.planner import Planner


class Log(Protocol):
    """Durable when it returns; StoreError when nothing may pass."""

    async def append(self, records: Sequence[audit.Record]) -> None: ...

    async def append_made(self, make: Callable[[], Sequence[audit.Record | audit.Written]]) -> None:
        """The same of what `make` gives; it is called off the event loop, and again if it is tried again."""
        ...


class Agents(Protocol):
    """Who may connect. Raises StoreError."""

    async def agent(self, name: str) -> AgentRow | None: ...


@dataclass(frozen=True, slots=True)
class Guarded:
    """A database by the name under which agents know it, how to reach it, and who judges its statements.

    mask_key: of hashed values. planner: says what held statements would come to; None where nobody does.
    """

    name: str
    database: config.Database
    password: SecretStr
    gate: Gate
    mask_key: bytes = field(repr=False)
    planner: Planner | None = None


@dataclass(frozen=True, slots=True)
class Entrance:
    """Everything behind one listening port.

    binding: channel binding data of our certificate, where it has any. url: where people decide.
    origin: the name of this firewall's log. mock_secret: makes unknown agents look like known ones.
    agent_connections: of one agent; without bound, if None. idle_timeout: seconds; 0 is for ever.
    standing_releases: whether a rule's release may stand (`proxy.standing`) or each run has its own.
    """

    listen: config.Listen
    tls: ssl.SSLContext | None
    binding: bytes | None
    databases: Mapping[str, Guarded]
    agents: Agents
    desk: Desk
    log: Log
    url: str
    origin: str
    mock_secret: bytes = field(repr=False)
    max_connections: int = 500
    login_timeout: float = 30.0
    agent_connections: int | None = None
    idle_timeout: float = 0
    standing_releases: bool = False
