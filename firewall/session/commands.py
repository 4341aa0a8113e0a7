"""What a session asks of the edge that drives it, and what it is told.

Everything is data: the edge carries commands out and answers `Judge` with a `Ruling` and `Clear` with leave
or a `Refusal`, each by ticket. The session never learns what a verdict is made of.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from firewall.session.copied import Copying
    from firewall.session.masks import Mask
    from firewall.session.watch import Place, Watch


class Action(StrEnum):
    """What the verdict comes to on the wire."""

    ALLOW = "allow"
    HOLD = "hold"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Act:
    """One execution that needs leave: a text and the values bound to it.

    parameters: wire bytes, None for NULL; formats: 0 text, 1 binary, as Bind sent them (none, one, or one
    each); types: the OIDs that Parse named, 0 where Postgres is to infer them.
    """

    sql: str
    parameters: tuple[bytes | None, ...] = ()
    formats: tuple[int, ...] = ()
    types: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Ruling:
    """How a text is to be treated, as the edge answers `Judge`.

    native: Postgres is likely to reject the text by itself (grammar error, unknown name); let it speak first.
    single: the text is exactly one statement, so that it can be sent as a Parse.
    doomed: it will be refused; if Postgres rejects the text anyway, that is the better answer.
    prepares: names that the text prepares by PREPARE, with their texts.
    changes_catalog: names may mean something else afterwards. loses_names: in ways that `facts` do not tell.
    facts: the session's facts once the text has been released; opaque here.
    judgement: whatever the edge wants back with `Clear` and `Done`; opaque here.
    watch: which columns its result may have; None if any.
    commits: it would commit what waits for a decision. If it is not let, the transaction is rolled back.
    """

    action: Action
    native: bool = False
    single: bool = True
    doomed: bool = False
    prepares: tuple[tuple[str, str], ...] = ()
    changes_catalog: bool = False
    loses_names: bool = False
    facts: object = None
    judgement: object = None
    watch: Watch | None = None
    commits: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the client is told instead of a result; the fields of an ErrorResponse (manual 53.8)."""

    sqlstate: str
    message: str
    detail: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Masking:
    """How the rows of a release reach the client. What Postgres says of it is withheld as well.

    columns: the mask of each output column, None where it may be seen; none at all if nothing that it
    returns is masked. places: the columns that must be masked wherever they appear. stored: those of them
    whose values nobody can have computed to get round a mask. key: of hashes. lingers: it may be heard of
    until its transaction ends, since it writes. copying: how they are sent, if by COPY.
    """

    columns: tuple[Mask | None, ...]
    places: AbstractSet[Place]
    stored: AbstractSet[Place]
    key: bytes = field(repr=False)
    lingers: bool = False
    copying: Copying | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a release has to keep to: rows that it returns at most, seconds that an execution of it may take,
    rows that it changes at most.

    None for any. beyond, late, too_many: what the client is told where it does not. masking: None where all
    of it may be seen. read_only: Postgres is told to let it change nothing.
    """

    most: int | None
    within: float | None
    beyond: Refusal
    late: Refusal
    masking: Masking | None = None
    changes: int | None = None
    too_many: Refusal | None = None
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class ToFrontend:
    data: bytes


@dataclass(frozen=True, slots=True)
class ToBackend:
    data: bytes


@dataclass(frozen=True, slots=True)
class Foresee:
    """A text that will probably be judged soon; no answer is wanted."""

    sql: str
    facts: object


@dataclass(frozen=True, slots=True)
class Fill:
    """A text that reads what the firewall knows of its agent: answer with `Session.filled(ticket, text)`, or
    with `Session.refused(ticket, …)`.
    """

    ticket: int
    sql: str


@dataclass(frozen=True, slots=True)
class Judge:
    """Answer with `Session.ruled(ticket, ruling)`, or `Session.refused(ticket, …)` if it cannot be judged.

    refresh: Postgres knows names that the catalog did not; read the catalog again first.
    changed: the open transaction has changed the catalog.
    lexing_safe: false when the server's settings make texts mean something else than they say.
    in_doubt: it has done so in ways that nobody can follow.
    prepared: texts of prepared statements by name, as they stand now; None where two texts are possible.
    types: the OIDs of the types of its parameters, those of pg_catalog left out.
    """

    ticket: int
    sql: str
    facts: object
    lexing_safe: bool
    prepared: Mapping[str, str | None]
    types: tuple[int, ...] = ()
    refresh: bool = False
    in_doubt: bool = False
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Clear:
    """Answer with `Session.cleared(ticket)` once the release is durable, or `Session.refused(ticket, …)`.

    failed: Postgres has said that the open transaction has failed, so that a COMMIT would be a ROLLBACK.
    """

    ticket: int
    ruling: Ruling
    acts: tuple[Act, ...]
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Whoever waits for `ticket` no longer does; the edge still answers the ticket.

    lost: not because it was given up, but because the session ends.
    """

    ticket: int
    why: str
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """Postgres has answered what was asked under `ticket`. Sizes in bytes of DataRow and CopyData frames.

    released: false when nothing was released: Postgres rejected the text itself, or nobody waits for it.
    rows: how many of these frames reached the client. changed: rows that it changed, with all that it set
    off; None where nobody counted.
    """

    ticket: int
    judgement: object
    tags: tuple[str, ...]
    size: int
    sqlstate: str = ""
    message: str = ""
    released: bool = True
    rows: int = 0
    changed: int | None = None


@dataclass(frozen=True, slots=True)
class Declined:
    """The session refused a message by itself, without judging it; for the record."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class CatalogChanged:
    """A transaction that changed the catalog has ended; read it again before the next judgement."""


@dataclass(frozen=True, slots=True)
class CancelUpstream:
    """Send a CancelRequest with the real key. ours: answer with `Session.cancelled()` when that is over."""

    ours: bool = False


@dataclass(frozen=True, slots=True)
class Clock:
    """Call `Session.time_over(number)` after so many seconds; there is one clock, and this sets it anew."""

    number: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Close:
    """Send what is written already, then close both sides. `fault` marks an internal error."""

    why: str
    fault: bool = False


Command = (
    ToFrontend
    | ToBackend
    | Foresee
    | Fill
    | Judge
    | Clear
    | Withdraw
    | Done
    | Declined
    | CatalogChanged
    | CancelUpstream
    | Clock
    | Close
)


@dataclass(slots=True, eq=False)
class Work:
    """What was released under one ticket, until Postgres has answered all of it.

    left: executions that have not ended. index: of its newest message among all that were sent.
    described: Postgres has been asked what its result is, before it was asked for any row. rows: that reached
    the client. changed: rows that its executions have changed, where they are counted. stopped: what the
    client is told, since it went beyond its bounds. simple: the client sent it as a Query.
    """

    ticket: int
    ruling: Ruling
    left: int
    index: int = 0
    described: bool = False
    bounds: Bounds | None = None
    rows: int = 0
    changed: int = 0
    stopped: Refusal | None = None
    simple: bool = False
    tags: list[str] = field(default_factory=list)
    size: int = 0
    sqlstate: str = ""
    message: str = ""

    @property
    def masking(self) -> Masking | None:
        return self.bounds.masking if self.bounds is not None else None
