"""What one event makes the session say, gathered so that each side gets it in one write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firewall import wire
from firewall.session.commands import Close, Command, ToBackend, ToFrontend

if TYPE_CHECKING:
    from firewall.session.replies import Replies, Reply


class Outbox:
    """Bytes for both sides and commands for the edge, each in the order in which they were put in."""

    def __init__(self, replies: Replies) -> None:
        self.closed = False
        self.commands: list[Command] = []
        self._replies = replies
        self._to_frontend: list[bytes] = []
        self._to_backend: list[bytes] = []
        self._notices: list[bytes] = []
        self._close: Close | None = None

    def to_frontend(self, data: bytes) -> None:
        self._to_frontend.append(data)

    def to_backend(self, data: bytes) -> None:
        """A client's message as it came, or one of ours that is not answered."""
        self._to_backend.append(data)

    def inject(self, message: wire.FrontendMessage, reply: Reply) -> None:
        """A message of our own and the answer that it will have."""
        self._to_backend.append(message.encode())
        self._replies.push(reply)

    def notice(self, message: str, detail: str, hint: str) -> None:
        """For the client, as soon as no message is half-sent."""
        self._notices.append(wire.notice(message=message, detail=detail, hint=hint).encode())

    def close(self, why: str, *, fault: bool = False) -> None:
        """The last command; nothing is taken from either side any more."""
        self.closed = True
        self._close = Close(why, fault)

    def flush(self, *, at_boundary: bool) -> list[Command]:
        """Everything that has gathered. at_boundary: no message to the client is half-sent."""
        if self._notices and at_boundary:
            self._to_frontend += self._notices
            self._notices.clear()
        commands: list[Command] = []
        if self._to_frontend:
            commands.append(ToFrontend(b"".join(self._to_frontend)))
            self._to_frontend.clear()
        if self._to_backend:
            commands.append(ToBackend(b"".join(self._to_backend)))
            self._to_backend.clear()
        if self.commands:
            commands += self.commands
            self.commands.clear()
        if self._close is not None:
            commands.append(self._close)
            self._close = None
        return commands
