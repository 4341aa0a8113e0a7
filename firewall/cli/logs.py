"""Where the program's own log goes: stderr; lines for people on a terminal, JSON elsewhere.

The standard library's loggers (uvicorn, slack-bolt, SQLAlchemy) take the same way. Nothing secret passes.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from typing import TYPE_CHECKING, Any

import structlog

from firewall.channels.slack_log import redacted

if TYPE_CHECKING:
    from collections.abc import MutableMapping

DEBUG = "FIREWALL_DEBUG"
# what a command that is no server has to say besides its answer
QUIET = logging.WARNING
# agents' and people's tokens, the signing key, and passwords in URLs
_SECRET = re.compile(r"qf[ap]_[\w-]+|PRIVATE\+KEY\+\S+|(?<=://)([^\s:/@]*):[^\s@/]+(?=@)")


def configure(level: int = logging.INFO) -> None:
    """Send every log of this process to stderr, from `level` on."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _describe,
        _clean,
    ]
    on_terminal = sys.stderr.isatty()
    last: Any = structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("sqlalchemy", "alembic", "aiosqlite", "asyncio", "uvicorn", "slack_bolt", "slack_sdk"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))


def _describe(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An exception as its type and place; its text may hold values and is shown to who asks for it."""
    raised = event.pop("exc_info", None)
    if raised is True:
        raised = sys.exc_info()
    error = raised[1] if isinstance(raised, tuple) else raised
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["at"] = [f"{f.filename}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)][-4:]
        if os.environ.get(DEBUG):
            event["trace"] = "".join(traceback.format_exception(error))
    return event


def _clean(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    # INVARIANT: 10. secrets reach no log
    for name, value in event.items():
        if not name.startswith("_") and not isinstance(value, int | float | bool | None):
            text = value if isinstance(value, str) else str(value)
            event[name] = clean(text)
    return event


def clean(text: str) -> str:
    """The text without anything that opens a door."""
    return _SECRET.sub(lambda m: f"{m[1]}:(redacted)" if m[1] is not None else "(redacted)", redacted(text))
