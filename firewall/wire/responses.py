"""ErrorResponse and NoticeResponse: severity, SQLSTATE and whatever else is known (manual, section 54.8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from firewall.wire import body as b
from firewall.wire.body import Body


@dataclass(frozen=True, slots=True)
class Report:
    """Fields in the order they came, each a one-letter code and its text; unknown codes are kept."""

    CODE: ClassVar[int]
    fields: tuple[tuple[str, str], ...]

    def get(self, code: str) -> str:
        """The text of the field `code`, or "" if there is none."""
        return next((text for known, text in self.fields if known == code), "")

    @property
    def severity(self) -> str:
        """The severity that is never translated (V), or the shown one (S) of servers before 9.6."""
        return self.get("V") or self.get("S")

    @property
    def sqlstate(self) -> str:
        return self.get("C")

    @property
    def message(self) -> str:
        return self.get("M")

    @property
    def detail(self) -> str:
        return self.get("D")

    @property
    def hint(self) -> str:
        return self.get("H")

    @property
    def position(self) -> int:
        """Where in the statement, in characters from 1; 0 if not said."""
        said = self.get("P")
        return int(said) if said.isascii() and said.isdecimal() and len(said) <= 10 else 0

    def replace(self, **texts: str) -> Self:
        """The same report with some fields, named by code, given another text, added, or dropped if empty."""
        known = {code for code, _ in self.fields}
        kept = [(code, _sayable(texts.get(code, text))) for code, text in self.fields]
        added = [(code, _sayable(text)) for code, text in texts.items() if code not in known]
        return type(self)(tuple((code, text) for code, text in kept + added if text or code not in texts))

    def encode(self) -> bytes:
        return b.frame(self.CODE, *(code.encode() + b.string(text) for code, text in self.fields), b"\0")

    @classmethod
    def decode(cls, body: bytes) -> Self:
        read = Body(body, cls.__name__)
        fields: list[tuple[str, str]] = []
        while code := read.byte():
            if code > 0x7E:
                read.wrong(f"`0x{code:02x}` is not a field code")
            fields.append((chr(code), read.lenient()))
        read.end()
        return cls(tuple(fields))


@dataclass(frozen=True, slots=True)
class ErrorResponse(Report):
    CODE: ClassVar[int] = ord("E")


@dataclass(frozen=True, slots=True)
class NoticeResponse(Report):
    CODE: ClassVar[int] = ord("N")


def error(  # the fields of one report, all by name
    *,
    severity: str = "ERROR",
    sqlstate: str,
    message: str,
    detail: str = "",
    hint: str = "",
    position: int = 0,
) -> ErrorResponse:
    """An ErrorResponse of our own; what is empty is left out. NUL and lone surrogates are made visible."""
    return ErrorResponse(_fields(severity, sqlstate, message, detail, hint, position))


def notice(
    *,
    severity: str = "NOTICE",
    sqlstate: str = "00000",
    message: str,
    detail: str = "",
    hint: str = "",
) -> NoticeResponse:
    """A NoticeResponse of our own, by the same rules as `error`."""
    return NoticeResponse(_fields(severity, sqlstate, message, detail, hint, 0))


def _fields(  # the arguments of the two functions above, passed through
    severity: str,
    sqlstate: str,
    message: str,
    detail: str,
    hint: str,
    position: int,
) -> tuple[tuple[str, str], ...]:
    texts = (
        ("S", severity),
        ("V", severity),
        ("C", sqlstate),
        ("M", message or "unspecified"),
        ("D", detail),
        ("H", hint),
        ("P", str(position) if position > 0 else ""),
    )
    return tuple((code, _sayable(text)) for code, text in texts if text)


def _sayable(text: str) -> str:
    """Text that a NUL-terminated UTF-8 string can carry: people's words come from anywhere."""
    return text.replace("\0", "\u2400").encode(errors="backslashreplace").decode()
