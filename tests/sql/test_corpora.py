"""The corpora: no evasion is taken for harmless, and nothing benign for more than it is."""

from __future__ import annotations

import pytest

from firewall.sql.analyse import analyse
from firewall.sql.analysis import Facts, Kind
from tests.sql.shop import SHOP, cases

HARMLESS = {Kind.READ, Kind.SESSION, Kind.TRANSACTION, Kind.SETTING}


# what needs a real catalog to be seen is judged against one in test_evasions_server.py
IN_THE_WORLD = ("attached", "quoted", "spelled")
EVASIONS = [case for case in cases("evasions", "expect") if not case.name.startswith(IN_THE_WORLD)]


@pytest.mark.parametrize("case", EVASIONS, ids=lambda case: case.name)
def test_an_evasion_shows_what_it_does(case):
    kind, _, name = case.heading.partition(" ")
    analysis = analyse(case.sql, SHOP, Facts())
    assert analysis.error is None
    found = {(effect.kind.value, effect.object) for effect in analysis.effects}
    if name:
        assert (kind, name) in found, found
    else:
        assert kind in {each for each, _ in found}, found


@pytest.mark.parametrize("case", cases("benign", "query"), ids=lambda case: case.name)
def test_a_benign_text_is_harmless_and_understood(case):
    analysis = analyse(case.sql, SHOP, Facts(role="agent"))
    assert analysis.error is None
    assert not analysis.opaque
    assert not analysis.missing
    assert {effect.kind for effect in analysis.effects} <= HARMLESS, [str(e) for e in analysis.effects]
