"""What a driver's program comes to when it does not come to its end."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from tests.conformance import drivers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.cache import Cache
    from tests.conformance.pair import Pair


@pytest.mark.parametrize("ended", ["direct", "firewall"])
async def test_a_program_that_takes_too_long_is_a_timeout_and_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    program = "import os, signal; print('said', flush=True); os.environ.get('STAY') and signal.pause()"

    async def started(*_: object) -> drivers.Program:
        return drivers.Program((sys.executable, "-c", program), {})

    async def fresh(_: str) -> None:
        """No database is of interest here."""

    def side(name: str) -> SimpleNamespace:
        return SimpleNamespace(environment=lambda _: {"STAY": "yes"} if name == ended else {})

    both = SimpleNamespace(sides=(side("direct"), side("firewall")), fresh=fresh)
    monkeypatch.setitem(drivers._PROGRAMS, "endless", started)
    monkeypatch.setattr(drivers, "TIMEOUT", 1.0)
    found = await drivers.compare(cast("Pair", both), "endless", cast("Cache", None), tmp_path)
    assert (found.word, found.unexplained, found.good) == ("timeout", (), False)
    words = {"direct": found.direct, "firewall": found.firewall}
    assert words.pop(ended) == "ended after 1 s"
