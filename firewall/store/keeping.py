"""What the log keeps of values: as the policy of their database says, or else the settings.

Records of a session name their database where it begins and where a statement is judged. So it is remembered
of which database a session is, from its beginning to its end; of one that is not known, the least of all is
kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firewall import audit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LESS = tuple(audit.Keep)


class Keeping:
    """default: where no policy says anything."""

    def __init__(self, default: audit.Keep) -> None:
        self._default = default
        self._policies: Callable[[], Mapping[str, str | None]] = dict
        self._sessions: dict[str, str] = {}

    def follow(self, policies: Callable[[], Mapping[str, str | None]]) -> None:
        """From now on the policies decide: by database, as they are whenever this is asked."""
        self._policies = policies

    def of_database(self, database: str) -> audit.Keep:
        """Of statements there; the least of all for a database that has no policy."""
        policies = self._policies()
        if policies and database not in policies:
            return self._least()
        return audit.Keep(policies.get(database) or self._default)

    def of(self, record: audit.Record | audit.Written) -> audit.Keep:
        """Of this record; to be asked of each, in the order of the log."""
        match record:
            case audit.Session(event="opened"):
                self._sessions[record.session] = record.database
            case audit.Session():
                self._sessions.pop(record.session, None)
            case audit.Judgement():
                return self.of_database(record.database)
            case _:
                pass
        database = self._sessions.get(record.session)
        return self._least() if database is None else self.of_database(database)

    def _least(self) -> audit.Keep:
        said = [audit.Keep(keep) for keep in self._policies().values() if keep]
        return max([self._default, *said], key=_LESS.index)
