"""What approvers read of a statement's impact, line by line."""

from __future__ import annotations

from firewall.approval import Change, Estimate, Impact, earlier
from firewall.approval.impact import MAX_EARLIER


def test_an_estimate_is_said_in_one_line() -> None:
    assert Impact(Estimate(1, 0.29)).headline == "planner expects 1 row, at a cost of 0.29"
    written = Estimate(0, 1234.5, (Change("delete", "orders", 1200), Change("insert", "archive", 1)))
    assert Impact(written, writes=True).headline == (
        "planner expects to delete 1,200 rows of orders, insert 1 row of archive, at a cost of 1,234.50"
    )
    assert Impact(Estimate(5, 1.0), runs=1000).headline.endswith("at a cost of 1.00 (the first run)")
    assert Impact(unestimated="the planner did not answer in 1 s").lines == (
        "no estimate: the planner did not answer in 1 s",
    )


def test_everything_has_its_line() -> None:
    found = Impact(
        Estimate(1, 2.0),
        writes=True,
        ceiling=100,
        labelled=("public.customers.email (pii.email)",),
        sets_off=("trigger t on public.orders, which runs public.f",),
        takes=("row exclusive on public.orders",),
        holding=("access exclusive on public.products",),
        unseen="",
        transaction=12.4,
        earlier=(earlier("SELECT\n  1", "SELECT 1"),),
    )
    assert found.lines[1:] == (
        "ceiling: beyond 100 rows changed it is rolled back",
        "its transaction has been open for 12 s",
        "reaches public.customers.email (pii.email)",
        "sets off trigger t on public.orders, which runs public.f",
        "takes row exclusive on public.orders",
        "holds already access exclusive on public.products",
        "ran before: SELECT 1 → SELECT 1",
    )
    assert "no ceiling is set: it may change any number of rows" in Impact(writes=True).lines
    assert "ceiling: beyond 0 rows changed it is rolled back" in Impact(writes=True, ceiling=0).lines
    assert not any("ceiling" in line for line in Impact().lines)
    assert "locks that it holds are not known: gone" in Impact(unseen="gone").lines


def test_earlier_statements_are_cut_to_one_line() -> None:
    cut = earlier("SELECT\n'" + "x" * 1_000_000, "ERROR\n" * 9)
    assert cut.sql == "SELECT '" + "x" * (MAX_EARLIER - 8) + "…"
    assert "\n" not in cut.outcome
    assert earlier("a  b", "").sql == "a b"
    assert earlier("a" + " " * 10_000 + "b", "").sql.endswith("…"), "what is left out is told"
