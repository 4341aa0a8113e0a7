"""The startup parameter `options`: settings written as command-line switches (manual, section 32.1.2).

Postgres would take any switch of its server program there. Only `-c name=value` and `--name=value` are read
here; what else stands in it is refused, because a switch that is not understood is not passed on.
"""

from __future__ import annotations

from typing import Final

from firewall.errors import ProtocolViolation

_SPACE: Final = " \t\n\v\f\r"


def parse_options(options: str) -> tuple[tuple[str, str], ...]:
    r"""The settings in `options`, in order, repeats kept; the last of a name counts.

    White space parts the words, a backslash keeps the next character as it is. In names `-` means `_`.
    Raises ProtocolViolation (42601) for anything but `-c name=value`, `-cname=value` and `--name=value`.
    """
    settings: list[tuple[str, str]] = []
    words = iter(_words(options))
    for word in words:
        if word.startswith("--") and word != "--":
            switch, setting = word, word[2:]
        elif word == "-c":
            setting = next(words, "")
            switch = f"-c {setting}".rstrip()
        elif word.startswith("-c"):
            switch, setting = word, word[2:]
        else:
            raise _refused(word, "is not a setting")
        name, equals, value = setting.partition("=")
        if not name or not equals:
            raise _refused(switch, "needs a name and a value")
        settings.append((name.replace("-", "_"), value))
    return tuple(settings)


def _words(options: str) -> list[str]:
    words: list[str] = []
    word: list[str] | None = None
    escaped = False
    for character in options:
        if character in _SPACE and not escaped:
            if word is not None:
                words.append("".join(word))
            word = None
            continue
        word = [] if word is None else word
        if character == "\\" and not escaped:
            escaped = True
        else:
            word.append(character)
            escaped = False
    if word is not None:
        words.append("".join(word))
    return words


def _refused(switch: str, rule: str) -> ProtocolViolation:
    return ProtocolViolation(
        f"`{switch}` in the startup parameter `options` {rule}",
        sqlstate="42601",
        hint="write settings as `-c name=value`",
    )
