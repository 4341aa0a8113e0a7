"""What a driver's suite comes to when it does not come to its end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from tests.conformance import suites, transcript

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.cache import Cache
    from tests.conformance.pair import Pair


class _Source:
    """A cache that holds everything already."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def python(self, *_: object) -> Path:
        return self._folder

    def sdist(self, *_: object) -> Path:
        return self._folder


@pytest.mark.parametrize("ended", ["direct", "firewall"])
async def test_a_suite_that_takes_too_long_is_a_timeout_and_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    async def run(_: Path, home: Path, *__: object) -> tuple[dict[str, str], transcript.Ran]:
        over = home.name == ended
        return ({} if over else {"t::a": "passed"}), transcript.Ran(None if over else 0, "")

    async def refresh() -> None:
        """The catalog is of no interest here."""

    gates = {"suite_s": SimpleNamespace(refresh=refresh)}
    sides = (SimpleNamespace(name="direct"), SimpleNamespace(name="firewall"))
    both = SimpleNamespace(sides=sides, app=SimpleNamespace(gates=gates))
    monkeypatch.setattr(suites, "_run", run)
    monkeypatch.setattr(suites, "_set_up", lambda *_: None)
    suite = suites.Suite("s", ("s", "1"), (), (), ())
    found = await suites.compare(cast("Pair", both), suite, cast("Cache", _Source(tmp_path)), tmp_path)
    assert (found.word, found.unexplained, found.good) == ("timeout", (), False)
    words = {"direct": found.direct, "firewall": found.firewall}
    assert words.pop(ended) == "ended after 3600 s"
    assert words.popitem()[1] == "1 passed"
