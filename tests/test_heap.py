"""What is kept is not looked at by the collector, and goes all the same when nobody refers to it."""

from __future__ import annotations

import gc
import weakref

import pytest

from firewall import heap


class Thing:
    """Anything that can be in a cycle."""

    other: Thing


@pytest.fixture(autouse=True)
def thawed():
    yield
    gc.unfreeze()


def test_what_is_kept_is_not_looked_at_and_goes_with_its_last_reference():
    with heap.keeping():
        assert not gc.isenabled()
        thing = Thing()
    assert gc.isenabled()
    assert not any(found is thing for found in gc.get_objects())
    gone = weakref.ref(thing)
    del thing
    assert gone() is None


def test_garbage_from_before_is_not_kept():
    one, other = Thing(), Thing()
    one.other, other.other = other, one
    gone = weakref.ref(one)
    del one, other
    with heap.keeping():
        assert gone() is None


def test_nothing_is_kept_of_what_failed():
    before = gc.get_freeze_count()
    with pytest.raises(LookupError), heap.keeping():
        raise LookupError
    assert gc.isenabled()
    assert gc.get_freeze_count() == before


def test_what_is_let_go_goes():
    things = [Thing() for _ in range(3)]
    gone = [weakref.ref(thing) for thing in things]
    heap.let_go(things)
    assert not things
    assert all(thing() is None for thing in gone)


def test_what_is_alive_is_set_apart_and_what_was_garbage_is_gone():
    kept, one, other = Thing(), Thing(), Thing()
    one.other, other.other = other, one
    gone = weakref.ref(one)
    del one, other
    heap.settle()
    assert gone() is None
    assert not any(found is kept for found in gc.get_objects())
