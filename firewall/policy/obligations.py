"""What a statement owes where it is let through: limits on what it returns, changes and takes, and masks.

Every rule that matches adds its own; of two the stricter one counts. A statement runs under all of them, or
not at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

from firewall.sql.analysis import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from firewall.sql.analysis import Effect


N = TypeVar("N", int, float)


class Form(StrEnum):
    """What becomes of a masked value, from what hides most to what hides least."""

    NULL = "null"  # the value is null
    TEXT = "text"  # a fixed text, the same for every value
    HASH = "hash"  # equal values stay equal, and nothing else is left of them
    PARTIAL = "partial"  # some characters at either end stay


EVERY: Final = "any"
# what is done by these may read what no effect says
UNSAID: Final = frozenset({Kind.EXECUTE, Kind.CODE, Kind.SERVER_IO, Kind.UNKNOWN})
HIDES: Final = {form: place for place, form in enumerate(Form)}


@dataclass(frozen=True, slots=True)
class Mask:
    """How values of columns with this label (and of labels below it; `any` is every one) reach the client.

    text: what stands instead (TEXT). first, last: characters that stay (PARTIAL).
    """

    label: str
    form: Form
    text: str = ""
    first: int = 0
    last: int = 0

    @property
    def strictness(self) -> tuple[int, int, int, str]:
        """The smaller, the less is left of a value; what follows the second only makes it a total order."""
        return HIDES[self.form], self.first + self.last, self.first, self.text


@dataclass(frozen=True, slots=True)
class Obligations:
    """None and empty are no obligation. Seconds; rows of one statement. masks are sorted by label."""

    max_rows: int | None = None
    max_affected_rows: int | None = None
    statement_timeout: float | None = None
    read_only: bool = False
    masks: tuple[Mask, ...] = ()

    def __bool__(self) -> bool:
        return self != NONE

    def __str__(self) -> str:
        """For people: `at most 100 rows returned, pii.email masked (hash)`."""
        told = []
        if self.max_rows is not None:
            told.append(f"at most {self.max_rows} rows returned")
        if self.max_affected_rows is not None:
            told.append(f"at most {self.max_affected_rows} rows changed")
        if self.statement_timeout is not None:
            told.append(f"at most {self.statement_timeout:g} s")
        if self.read_only:
            told.append("read only")
        told += [f"{mask.label} masked ({mask.form})" for mask in self.masks]
        return ", ".join(told)

    def mask_of(self, labels: Iterable[str]) -> Mask | None:
        """The strictest mask for a column with these labels; None if it needs none.

        For each label the nearest mask counts: `pii.email` before `pii` before `any`.
        """
        found = (self._nearest(label) for label in labels)
        return min((mask for mask in found if mask), key=lambda mask: mask.strictness, default=None)

    def concerning(self, effects: Sequence[Effect]) -> Obligations:
        """With the masks that these effects need, one for each label by its own name; of a label that is only
        tested too, since errors may quote what was tested.
        """
        if not self.masks or any(effect.kind in UNSAID for effect in effects):
            return self
        labels = {label for effect in effects for label in (*effect.labels, *effect.tested_labels)}
        needed = ((label, self._nearest(label)) for label in sorted(labels))
        return replace(self, masks=tuple(replace(mask, label=label) for label, mask in needed if mask))

    def _nearest(self, label: str) -> Mask | None:
        about = [
            mask for mask in self.masks if mask.label in {EVERY, label} or label.startswith(f"{mask.label}.")
        ]
        return max(about, key=lambda mask: (mask.label != EVERY, len(mask.label)), default=None)


NONE: Final = Obligations()


def together(several: Iterable[Obligations]) -> Obligations:
    """All of them at once."""
    owed = [each for each in several if each]
    if len(owed) < 2:
        return owed[0] if owed else NONE
    # wherever one of them has a mask of its own, it is compared with what the others have there
    labels = sorted({mask.label for each in owed for mask in each.masks})
    masks = [
        replace(min(there, key=lambda mask: mask.strictness), label=label)
        for label in labels
        if (there := [mask for each in owed if (mask := each._nearest(label))])  # noqa: SLF001 — of its own kind
    ]
    return Obligations(
        max_rows=_least(each.max_rows for each in owed),
        max_affected_rows=_least(each.max_affected_rows for each in owed),
        statement_timeout=_least(each.statement_timeout for each in owed),
        read_only=any(each.read_only for each in owed),
        masks=tuple(masks),
    )


def _least(values: Iterable[N | None]) -> N | None:
    return min((value for value in values if value is not None), default=None)
