"""The risk tier's arithmetic is the table in the module's header."""

from __future__ import annotations

import re

import pytest

from firewall.policy import Risk, risk
from firewall.sql.analysis import Effect, Kind


def test_the_table_people_read_is_the_table_that_counts():
    written = {}
    for line in str(risk.__doc__).splitlines():
        match = re.fullmatch(r"\s{4}([a-z_ ·]+?)\s{2,}(\d)", line)
        if match and match[1] != "kind":
            written.update(dict.fromkeys(match[1].replace("·", " ").split(), int(match[2])))
    assert written == {kind.value: points for kind, points in risk.POINTS.items()}
    assert set(risk.POINTS) == set(Kind)


@pytest.mark.parametrize(
    ("effects", "tier"),
    [
        ((), Risk.LOW),
        ((Effect(Kind.READ, "t"),), Risk.LOW),
        ((Effect(Kind.READ, "t", tested_labels=("pii",)),), Risk.LOW),
        ((Effect(Kind.READ, "t", labels=("pii",)),), Risk.MEDIUM),
        ((Effect(Kind.INSERT, "t"),), Risk.LOW),
        ((Effect(Kind.INSERT, "t", labels=("pii",)),), Risk.MEDIUM),
        ((Effect(Kind.DELETE, "t"),), Risk.MEDIUM),
        ((Effect(Kind.DELETE, "t", unfiltered=True),), Risk.HIGH),
        ((Effect(Kind.UPDATE, "t", unfiltered=True, labels=("pii",)),), Risk.CRITICAL),
        ((Effect(Kind.TRUNCATE, "t"),), Risk.HIGH),
        ((Effect(Kind.COPY_OUT, "t", labels=("pii",)),), Risk.CRITICAL),
        ((Effect(Kind.PRIVILEGE, "t"),), Risk.CRITICAL),
        ((Effect(Kind.UNKNOWN, "s"),), Risk.HIGH),
        ((Effect(Kind.UNKNOWN, "s"), Effect(Kind.READ, "t")), Risk.HIGH),
        ((Effect(Kind.UNKNOWN, "s"), Effect(Kind.INSERT, "t")), Risk.CRITICAL),
    ],
)
def test_tiers(effects, tier):
    assert risk.tier(effects) is tier


def test_a_floor_raises_and_never_lowers():
    assert risk.tier((Effect(Kind.READ, "t"),), [Risk.LOW, Risk.CRITICAL]) is Risk.CRITICAL
    assert risk.tier((Effect(Kind.DROP, "t"),), [Risk.LOW]) is Risk.HIGH
