"""What is different between two policies, entry by entry: rules and budgets by name, the rest by key."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firewall.policy.compile import Policy

# lists whose entries have names
NAMED: Final = ("rules", "budgets")


@dataclass(frozen=True, slots=True)
class Difference:
    """One field; `before` or `after` is None where it is not there. path is dotted, rules by name."""

    path: str
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        """`+ rules.reads: …`, `- labels.pii: …`, `~ default: hold → deny`."""
        if self.before is None:
            return f"+ {self.path}: {_shown(self.after)}"
        if self.after is None:
            return f"- {self.path}: {_shown(self.before)}"
        return f"~ {self.path}: {_shown(self.before)} → {_shown(self.after)}"


def diff(before: Policy, after: Policy) -> tuple[Difference, ...]:
    """What comes, what goes and what changes, by path; empty exactly where the revisions are equal."""
    old, new = _content(before), _content(after)
    return tuple(sorted(_between("", old, new), key=str))


def _between(path: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Difference]:
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        here = f"{path}.{key}" if path else key
        if old == new:
            continue
        # an entry that comes or goes is told whole; one that stays, by what changed in it
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _between(here, old, new)
        else:
            yield Difference(here, old, new)


def _content(policy: Policy) -> dict[str, Any]:
    content = policy.document.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"include"})
    for key in NAMED:
        content[key] = {entry.pop("name"): entry for entry in content[key]}
    return content


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
