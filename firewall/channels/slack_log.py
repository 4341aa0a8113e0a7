"""What slack-sdk and slack-bolt may write to the log: one line each, without tokens, tickets or payloads."""

from __future__ import annotations

import logging
import re

# bot, user and app tokens; the ticket of a Socket Mode URL; response and upload URLs, which work without one
_SECRET = re.compile(
    r"xox[a-z]-[\w-]+|xapp-[\w-]+|(?<=ticket=)[\w%-]+|(?<=/actions/)[\w/-]+|(?<=/upload/v1/)[\w/-]+"
)


def redacted(text: str) -> str:
    return _SECRET.sub("(redacted)", text)


class Redact(logging.Filter):
    """Renders and cleans the message; keeps only the type of an exception, whose text may quote a URL."""

    def filter(self, record: logging.LogRecord) -> bool:
        # INVARIANT: 10. secrets reach no log
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text} ({type(record.exc_info[1]).__name__})"
        record.msg, record.args = redacted(text), ()
        record.exc_info = record.exc_text = None
        return True


def sdk_logger() -> logging.Logger:
    """The logger to hand to the libraries; below WARNING they write whole payloads, so it stops there."""
    logger = logging.getLogger("firewall.channels.slack.sdk")
    logger.setLevel(logging.WARNING)
    if not any(isinstance(known, Redact) for known in logger.filters):
        logger.addFilter(Redact())
    return logger
