"""The one place that reads the wall clock; everything pure is handed the time."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """RFC 3339 with microseconds and `Z`, so that text order is time order."""
    # a tenth of what strftime takes; every record has a few of these
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class Stamps:
    """`stamp` of many moments near to each other, in nanoseconds since 1970: a second is written once."""

    def __init__(self) -> None:
        self._second = -1
        self._written = ""

    def stamp(self, nanoseconds: int) -> str:
        micros = nanoseconds // 1000
        second = micros // 1_000_000
        if second != self._second:
            self._second = second
            self._written = datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat() + "."
        # a leading one instead of padding: a third of what a format takes
        return self._written + str(1_000_000 + micros - second * 1_000_000)[1:] + "Z"
