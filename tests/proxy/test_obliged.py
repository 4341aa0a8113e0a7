"""Cursors of a session under masks: what is fetched is what was declared, or is not fetched."""

from __future__ import annotations

from firewall.proxy.obliged import MAX_CURSORS, Cursors
from firewall.session import Form, Mask, Masking


def masking(*columns: Mask | None) -> Masking:
    return Masking(columns, frozenset({(7, 1)}), frozenset(), b"key")


def test_a_name_stands_for_what_it_was_declared_for():
    cursors = Cursors()
    assert not cursors.knows("c")
    hidden = masking(Mask(Form.NULL))
    cursors.declared("c", hidden)
    cursors.declared("free", None)
    assert cursors.masking("c") is hidden
    assert cursors.masking("free") is None
    cursors.declared("c", masking(Mask(Form.NULL)))  # the same again
    assert cursors.knows("c")


def test_a_name_of_two_queries_stands_for_neither():
    for first, second in (
        (masking(Mask(Form.NULL)), None),
        (None, masking(Mask(Form.NULL))),
        (masking(None, Mask(Form.NULL)), masking(Mask(Form.NULL), None)),
    ):
        cursors = Cursors()
        cursors.declared("c", first)
        cursors.declared("c", second)
        assert not cursors.knows("c")
        cursors.declared("c", first)
        assert not cursors.knows("c")


def test_more_names_than_are_kept_stand_for_nothing():
    cursors = Cursors()
    for number in range(MAX_CURSORS + 1):
        cursors.declared(f"c{number}", None)
    assert not cursors.knows("c0")
