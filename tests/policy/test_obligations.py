"""Obligations: gathered from every rule that lets something through, the stricter one of two."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall.policy import Action, Obligations
from firewall.policy.obligations import NONE, Form, Mask, together
from firewall.sql import Effect, Kind, ObjectType

from .written import judge, read

masks = st.builds(
    Mask,
    label=st.sampled_from(["pii", "pii.email", "pci", "any"]),
    form=st.sampled_from(Form),
    first=st.integers(0, 3),
    last=st.integers(0, 3),
)
limits = st.none() | st.integers(0, 100)
several = st.lists(
    st.builds(
        Obligations,
        max_rows=limits,
        max_affected_rows=limits,
        statement_timeout=st.none() | st.floats(1, 100),
        read_only=st.booleans(),
        masks=st.lists(masks, max_size=3, unique_by=lambda mask: mask.label).map(
            lambda found: tuple(sorted(found, key=lambda mask: mask.label))
        ),
    ),
    max_size=4,
)


@given(several)
def test_together_they_are_as_strict_as_each(owed):
    whole = together(owed)
    for each in owed:
        for key in ("max_rows", "max_affected_rows", "statement_timeout"):
            own, all_of_them = getattr(each, key), getattr(whole, key)
            assert own is None or (all_of_them is not None and all_of_them <= own)
        assert whole.read_only or not each.read_only
        for label in ("pii.email", "pii.phone", "pci", "other"):
            mine, theirs = each.mask_of([label]), whole.mask_of([label])
            assert mine is None or (theirs is not None and theirs.strictness <= mine.strictness)


@given(several, st.lists(st.sampled_from(["pii.email", "pii.phone", "pci", "other"]), unique=True))
def test_a_verdict_says_the_masks_of_the_labels_in_it(owed, labels):
    whole = together(owed)
    mine = whole.concerning([read("a", labels=tuple(labels))])
    for label in labels:
        mask, theirs = mine.mask_of([label]), whole.mask_of([label])
        assert (mask and mask.strictness) == (theirs and theirs.strictness)
    assert {mask.label for mask in mine.masks} <= set(labels)
    # what is not said may be anything
    assert whole.concerning([Effect(Kind.UNKNOWN, "statement", ObjectType.STATEMENT)]) == whole


@given(several, st.randoms(use_true_random=False))
def test_their_order_means_nothing(owed, chance):
    assert together(chance.sample(owed, len(owed))) == together(owed)


def test_those_of_rules_that_match_are_owed():
    verdict = judge(
        "allow: read, obligations: {max_rows: 100, mask: {pii: hash}}",
        "allow: read, obligations: {max_rows: 10, read_only: true, mask: {pii: null, pci: {last: 4}}}",
        "allow: read, when: {relations: other}, obligations: {max_affected_rows: 1}",
        "allow: read, when: {agents: nobody}, obligations: {statement_timeout: 1s}",
        effects=(read("mail", "card", labels=("pii.email", "pci.pan")),),
    )
    assert verdict.action is Action.ALLOW
    assert verdict.obligations == Obligations(
        max_rows=10,
        read_only=True,
        masks=(Mask("pci.pan", Form.PARTIAL, last=4), Mask("pii.email", Form.NULL)),
    )
    said = "at most 10 rows returned, read only, pci.pan masked (partial), pii.email masked (null)"
    assert str(verdict.obligations) == said


def test_a_hold_owes_them_too_and_a_deny_nothing():
    rules = ("allow: read, obligations: {max_rows: 5}", "hold: read, obligations: {statement_timeout: 30s}")
    assert judge(*rules, effects=(read("id"),)).obligations == Obligations(5, statement_timeout=30.0)
    assert judge(*rules, "deny: read", effects=(read("id"),)).obligations == NONE


@pytest.mark.parametrize(
    ("labels", "form"),
    [
        (("pii.email",), Form.HASH),
        (("pii",), Form.HASH),
        (("pii.email", "pci.pan"), Form.NULL),
        (("piid",), None),
        ((), None),
    ],
)
def test_a_mask_is_for_its_label_and_those_below(labels, form):
    owed = Obligations(masks=(Mask("pci", Form.NULL), Mask("pii", Form.HASH)))
    found = owed.mask_of(labels)
    assert (found and found.form) is form


def test_of_one_rule_the_nearest_mask_counts_and_of_two_the_stricter():
    mine = Obligations(masks=(Mask("pii", Form.HASH), Mask("pii.birth", Form.PARTIAL, first=4)))
    year = Mask("pii.birth", Form.PARTIAL, first=4)
    assert mine.mask_of(["pii.birth"]) == year
    assert mine.mask_of(["pii.birth", "pii.email"]) == Mask("pii", Form.HASH)
    everything = Obligations(masks=(Mask("any", Form.NULL),))
    assert together([mine, everything]).mask_of(["pii.birth"]) == Mask("pii.birth", Form.NULL)
    assert together([everything, Obligations(masks=(year,))]).mask_of(["pii.birth.day"]) == Mask(
        "pii.birth", Form.NULL
    )


def test_any_is_every_label():
    owed = Obligations(masks=(Mask("any", Form.NULL),))
    assert owed.mask_of(["hr.salary"]) == Mask("any", Form.NULL)
    assert owed.mask_of([]) is None
