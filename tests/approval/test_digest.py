"""Two acts that differ in anything have two digests."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from firewall.approval import Circumstances, Execution, digest, digester

HERE = Circumstances("bot", "shop", "reader", ("public",), "1", "c")
WORDS = st.text(max_size=3)
EXECUTIONS = st.lists(
    st.builds(
        Execution,
        WORDS,
        st.lists(st.none() | st.binary(max_size=3), max_size=3).map(tuple),
        st.lists(st.integers(0, 1), max_size=3).map(tuple),
        st.lists(st.integers(0, 30), max_size=3).map(tuple),
    ),
    max_size=3,
)
CIRCUMSTANCES = st.builds(
    Circumstances, WORDS, WORDS, WORDS, st.none() | st.lists(WORDS, max_size=3).map(tuple), WORDS, WORDS
)


def test_it_is_the_same_everywhere() -> None:
    one = [Execution("SELECT $1", (b"7", None), (0,), (23,))]
    assert digest(one, HERE) == digest(list(one), replace(HERE))
    assert digest(one, HERE) == "b44d6f93ca772bbdb0ea24e51bb495d35a8abf874fee13be70d752547e51aed6"


@given(EXECUTIONS, CIRCUMSTANCES)
def test_one_by_one_it_is_the_same(these: list[Execution], here: Circumstances) -> None:
    for one in these:
        begun = digester(one.sql, here)
        for _ in range(2):
            assert begun.digest(one.parameters, one.formats, one.types) == digest([one], here)


@given(EXECUTIONS, CIRCUMSTANCES, EXECUTIONS, CIRCUMSTANCES)
def test_it_tells_everything_apart(
    these: list[Execution], here: Circumstances, those: list[Execution], there: Circumstances
) -> None:
    # INVARIANT: 6. a decision releases one execution of one digest: of this and nothing else
    same = (these, here) == (those, there)
    assert (digest(these, here) == digest(those, there)) is same


@given(EXECUTIONS, CIRCUMSTANCES, st.data())
def test_a_change_of_one_thing_shows(
    these: list[Execution], here: Circumstances, data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from(["agent", "database", "role", "revision", "catalog"]))
    assert digest(these, here) != digest(these, replace(here, **{field: getattr(here, field) + "x"}))
    assert digest(these, here) != digest([*these, Execution("")], here)
    if these:
        first, *rest = these
        assert digest(these, here) != digest(
            [replace(first, parameters=(*first.parameters, None)), *rest], here
        )
        moved = replace(first, sql=first.sql + "1")
        assert digest(these, here) != digest([moved, *rest], here)
