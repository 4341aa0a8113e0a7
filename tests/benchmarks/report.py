"""What was measured, kept by measure and target, told as JSON and as one table of ratios."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TARGETS = ("direct", "pgbouncer", "haproxy", "pgpool", "firewall")
# measures of which more is better
_RATES = ("-tps", "-per-second")


@dataclass
class Report:
    """Samples of each measure and target, in the order in which measures were first taken."""

    units: dict[str, str] = field(default_factory=dict)
    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, measure: str, target: str, unit: str, value: float) -> None:
        self.units[measure] = unit
        self.samples.setdefault(measure, {}).setdefault(target, []).append(value)

    def median(self, measure: str, target: str) -> float | None:
        values = self.samples.get(measure, {}).get(target)
        return median(values) if values else None

    def rows(self) -> list[dict[str, str | float]]:
        """One object for each measure and target."""
        return [
            {
                "measure": measure,
                "target": target,
                "unit": self.units[measure],
                "median": round(median(values), 3),
                "min": round(min(values), 3),
                "max": round(max(values), 3),
            }
            for measure, targets in self.samples.items()
            for target, values in targets.items()
        ]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.rows(), indent=1) + "\n")

    def table(self) -> str:
        """Each median, and in brackets its ratio to the direct one; then the ratios that are aimed at."""
        shown = [name for name in TARGETS if any(name in targets for targets in self.samples.values())]
        lines = [f"{'':24} {'unit':6}" + "".join(f"{name:>18}" for name in shown)]
        for measure in self.samples:
            base = self.median(measure, "direct")
            cells = [self._cell(self.median(measure, name), base) for name in shown]
            lines.append(f"{measure:24} {self.units[measure]:6}" + "".join(f"{cell:>18}" for cell in cells))
        return "\n".join([*lines, "", *self.aims()])

    def aims(self) -> list[str]:
        """The ratios of design section 13, as far as they were measured."""
        told: list[str] = []
        direct, other, ours = (
            self.median("prepared-c1-latency", name) for name in ("direct", "pgbouncer", "firewall")
        )
        if direct and other and ours and other > direct:
            ratio = (ours - direct) / (other - direct)
            told.append(
                f"added latency, prepared, 1 client: {ours - direct:.0f} µs,"
                f" {ratio:.2f} times PgBouncer's {other - direct:.0f} µs (aim: at most 1.5)"
            )
        told += self._ratio("prepared-c8-tps", "pgbouncer", "throughput, prepared, 8 clients", "0.7")
        told += self._ratio("select-1m-seconds", "direct", "a million rows", "0.85")
        for measure, aim in (("idle-session-kib", 64), ("held-session-kib", 96)):
            value = self.median(measure, "firewall")
            if value is not None:
                told.append(f"{measure}: {value:.0f} KiB (aim: at most {aim})")
        return told

    def _ratio(self, measure: str, other: str, what: str, aim: str) -> list[str]:
        theirs, ours = self.median(measure, other), self.median(measure, "firewall")
        if not theirs or not ours:
            return []
        ratio = ours / theirs if measure.endswith(_RATES) else theirs / ours
        return [f"{what}: {ratio:.2f} of {other}'s rate (aim: at least {aim})"]

    @staticmethod
    def _cell(value: float | None, base: float | None) -> str:
        if value is None:
            return "-"
        shown = f"{value:.0f}" if value >= 100 else f"{value:.2f}"
        return f"{shown} ({value / base:.2f})" if base else shown
