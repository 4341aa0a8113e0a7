"""The texts of the session's prepared statements: what a Bind or an EXECUTE by name would run.

The protocol's Parse and SQL's PREPARE share one name space in Postgres. A text counts here once Postgres has
accepted it; where two texts are possible the name is ambiguous, and nothing is run by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from firewall.session.commands import Refusal
from firewall.session.replies import weight

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from firewall.session.replies import Replies

# All statements of one session, as `weight` counts: what Postgres keeps of them is several times as large.
MAX_TEXTS = 64 * 1024 * 1024

# FirstNormalObjectId of src/include/access/transam.h: smaller OIDs are those that initdb gave out
FIRST_OWN_TYPE = 16384

TOO_MANY = Refusal(
    "54000",
    f"the prepared statements of one session may take {MAX_TEXTS >> 20} MiB at most",
    hint="close prepared statements that are no longer needed",
)
LONG_NAME = Refusal(
    "42622",
    "the name of a prepared statement or portal may have 63 bytes at most, or 15 characters beyond ASCII",
    hint="choose a shorter name",
)
AMBIGUOUS = Refusal(
    "42P05",
    "this prepared statement name was used for two texts",
    hint="deallocate all and prepare it again under another name",
)


def distinct(name: str) -> bool:
    """Whether Postgres keeps the name whole: it cuts names after 63 bytes (NAMEDATALEN), in silence.

    Two longer names can be one to Postgres, and then one text is judged and another one runs. A character
    takes 4 bytes at most in any encoding that the database may have.
    """
    return len(name) <= 15 or (len(name) <= 63 and name.isascii())


def own_types(types: Iterable[int]) -> tuple[int, ...]:
    """The types that somebody made: a value of one of them may run code when it is read."""
    return tuple(sorted({oid for oid in types if oid >= FIRST_OWN_TYPE}))


class Known(NamedTuple):
    """A statement name: its text, None if ambiguous, and its parameters' types as far as they are known.

    since: index of the message that gave the name this text, among all that were sent.
    """

    text: str | None
    types: tuple[int, ...] = ()
    since: int = 0


class Prepared:
    """Statement names and what they mean."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        self._known: dict[str, Known] = {}
        self._size = 0
        self._view: Mapping[str, str | None] | None = None

    def has_room_for(self, sql: str, types: tuple[int, ...]) -> bool:
        """Beside what is known and what is on its way."""
        return self._size + self._replies.flying + weight(sql, types) <= MAX_TEXTS

    def find(self, name: str) -> Known | None:
        """What a Bind sent now would run; None if there is no such statement."""
        flying = self._replies.parses_of(name)
        return Known(flying[-1].sql, flying[-1].types) if flying else self._known.get(name)

    def settled(self, name: str) -> Known | None:
        """What a name means where no Parse is on its way: the same object as long as it means the same."""
        return self._known.get(name)

    def means(self, name: str, text: str) -> bool:
        """Whether this name has this text already, and nothing is on its way that could take it away."""
        known = self._known.get(name)
        return known is not None and known.text == text and not len(self._replies)

    def certain(self, name: str) -> bool:
        """Whether a Bind sent now runs what `find` says, or nothing.

        A Parse that is not answered may yet fail; then a Bind behind the next Sync means an older text.
        """
        flying = self._replies.parses_of(name)
        return not flying or self._replies.certain(flying[-1])

    def sent(self) -> None:
        """A Parse was sent."""
        self._view = None

    def parsed(self, name: str, sql: str | None, types: tuple[int, ...], index: int) -> None:
        """Postgres has accepted a Parse, so the name was free (or the unnamed statement's)."""
        self._view = None
        before = self._known.get(name)
        if before is None or before.since <= index:
            # a PREPARE that was sent later has seen this Parse under way
            self._keep(name, Known(sql, types, index))

    def parsed_again(self, sql: str, types: tuple[int, ...], index: int) -> None:
        """Postgres has accepted an unnamed Parse; mostly it is the one that it was."""
        before = self._known.get("")
        if before is None or before.text != sql or before.types != types:
            self.parsed("", sql, types, index)

    def described(self, name: str, types: tuple[int, ...]) -> None:
        """Postgres has said which types the parameters of a statement have."""
        known = self._known.get(name)
        if known is not None:
            self._keep(name, known._replace(types=types))

    def closed(self, name: str, index: int) -> None:
        """Postgres has forgotten one, as the message `index` asked; what was sent since then stands."""
        known = self._known.get(name)
        if known is not None and known.since < index:
            self._keep(name, None)

    def forgotten(self, index: int) -> None:
        """Postgres has forgotten all of them, as the message `index` asked."""
        for name in [name for name, known in self._known.items() if known.since < index]:
            self._keep(name, None)

    def prepares(self, statements: Iterable[tuple[str, str]]) -> None:
        """SQL that was released may prepare these, or fail to."""
        for name, text in statements:
            flying = self._replies.parses_of(name)
            before = self._known.get(name)
            same = (before is None or before.text == text) and all(reply.sql == text for reply in flying)
            if not same:
                for reply in flying:
                    reply.sql = None
            types = before.types if before and same else ()
            self._keep(name, Known(text if same else None, types, self._replies.sent + 1))

    def texts(self) -> Mapping[str, str | None]:
        """Text by name as far as it can be told now; None where it cannot. Does not change."""
        if self._view is None:
            # EXECUTE reads values of types that only the Parse has named: the text does not say it all
            view = {name: None if own_types(of.types) else of.text for name, of in self._known.items()}
            for reply in self._replies.parses():
                text = None if own_types(reply.types) else reply.sql
                view[reply.name] = text if view.get(reply.name, text) == text else None
            self._view = view
        return self._view

    def _keep(self, name: str, known: Known | None) -> None:
        self._view = None
        before = self._known.pop(name, None)
        self._size -= weight(before.text, before.types) if before else 0
        if known is not None:
            self._known[name] = known
            self._size += weight(known.text, known.types)
