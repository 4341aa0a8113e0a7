"""Times as people write them: `2h`, `yesterday`, `2026-03-01`, RFC 3339. UTC unless a zone is named."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from firewall.cli.exits import Usage

_AGO = re.compile(r"(\d{1,9})\s*(s|m|min|h|d|w)(?:\s+ago)?")
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str, now: datetime) -> datetime:
    """The moment that is meant; a day is its beginning, a span is so long ago. Raises Usage."""
    written = text.strip().lower()
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        match written:
            case "now":
                return now
            case "today":
                return midnight
            case "yesterday":
                return midnight - timedelta(days=1)
        if ago := _AGO.fullmatch(written):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        parsed = datetime.fromisoformat(text.strip())
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Usage(
            f"`{text}` is no time",
            hint="write 2h, 30min, 7d, today, yesterday, 2026-03-01 or 2026-03-01T14:30:00Z (UTC)",
        ) from None
