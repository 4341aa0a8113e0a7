"""Which writes run ahead of a decision, and what savepoints leave of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from firewall.approval import Standing
from firewall.catalog import Relation, RelationKind
from firewall.judgement import Judgement
from firewall.policy import Action, Moment, Requirement, Risk, Subject, Verdict
from firewall.proxy import deferred
from firewall.session import Act, Done
from firewall.sql import Facts
from firewall.sql.analyse import analyse
from tests.sql.shop import SHOP

if TYPE_CHECKING:
    from firewall.proxy.standing import Standing as Leaves

SUBJECT = Subject("agent", "owner", "shop")
AHEAD = Requirement(("dba",), at_commit=60.0)
INSIDE = Moment(in_transaction=True, transaction_age=1.0)


def judged(sql: str, **changes: object) -> Judgement:
    analysis = analyse(sql, SHOP, Facts())
    verdict = Verdict(Action.HOLD, Risk.LOW, (), "r", AHEAD)
    return Judgement(sql, SUBJECT, analysis, analysis.effects, verdict, SHOP.version, Facts(), **changes)  # type: ignore[arg-type]


class Transaction:
    """One transaction, statement by statement; `leaves.suspended` says what it says to standing releases."""

    def __init__(self) -> None:
        self.leaves = SimpleNamespace(suspended=False)
        self.deferred = deferred.Deferred(cast("Leaves", self.leaves))
        self._tickets = 0

    def run(self, *texts: str, sqlstate: str = "") -> None:
        for sql in texts:
            self._tickets += 1
            judgement = judged(sql)
            if self.deferred.may(judgement, [Act(sql)], INSIDE, SHOP):
                self.deferred.add(self._tickets, judgement, [Act(sql)], sql)
            self.deferred.heard(Done(self._tickets, judgement, ("TAG 1",), 0, sqlstate))

    @property
    def stands(self) -> str:
        """`c` counts, `u` is undone, `f` has failed."""
        return "".join(ran.standing[0] for ran in self.deferred.ran("s"))


INSERT = "INSERT INTO orders (id) VALUES (1)"


@pytest.mark.parametrize(
    ("texts", "stands"),
    [
        ((INSERT, "SAVEPOINT a", INSERT, "ROLLBACK TO a", INSERT), "cuc"),
        ((INSERT, 'SAVEPOINT "A"', INSERT, "SAVEPOINT a", INSERT, "ROLLBACK TO a"), "ccu"),
        # of two of one name the newer is meant, until it is released
        ((INSERT, "SAVEPOINT a", INSERT, "SAVEPOINT a", INSERT, "ROLLBACK TO a"), "ccu"),
        ((INSERT, "SAVEPOINT a", INSERT, "SAVEPOINT a", INSERT, "RELEASE a; ROLLBACK TO a"), "cuu"),
        # it stays when it is gone back to; those after it do not
        ((INSERT, "SAVEPOINT a", INSERT, "ROLLBACK TO a", INSERT, "ROLLBACK TO a"), "cuu"),
        ((INSERT, "SAVEPOINT a; SAVEPOINT b", "ROLLBACK TO a; SAVEPOINT b", INSERT, "ROLLBACK TO b"), "cu"),
        # what nobody has heard of was set before the first write
        ((INSERT, "SAVEPOINT b", INSERT, "ROLLBACK TO a"), "uu"),
    ],
)
def test_savepoints(texts, stands):
    transaction = Transaction()
    transaction.run(*texts)
    assert transaction.stands == stands


def test_what_failed_does_not_count_and_says_nothing_of_savepoints():
    transaction = Transaction()
    transaction.run(INSERT, "SAVEPOINT a", INSERT)
    transaction.run("ROLLBACK TO a", INSERT, sqlstate="40001")
    assert transaction.stands == "ccf"
    # how far several steps at once came is not known: from then on nothing is called undone
    transaction.run("ROLLBACK TO a; ROLLBACK TO b", sqlstate="3B001")
    transaction.run("ROLLBACK TO a")
    assert transaction.stands == "ccf"


def test_what_fails_behind_a_savepoint_that_was_set_meanwhile_may_stand_in_part():
    transaction = Transaction()
    transaction.run(INSERT, "SAVEPOINT a")
    write = transaction.deferred.counting[0]
    # its portal is read on, and an error there goes back to the savepoint alone
    transaction.deferred.heard(Done(1, write.judgement, (), 0, "57014"))
    transaction.run("ROLLBACK TO a")
    assert transaction.stands == "c"


@pytest.mark.parametrize("end", ["COMMIT", "END", "ROLLBACK", "COMMIT AND CHAIN", "ABORT"])
def test_it_is_over_when_it_has_ended(end):
    transaction = Transaction()
    transaction.run("BEGIN", INSERT)
    assert transaction.deferred.open
    assert transaction.leaves.suspended
    transaction.run(end, sqlstate="23503")
    assert transaction.deferred.open  # where it stands, ReadyForQuery says
    transaction.run(end)
    assert not transaction.deferred.open
    assert not transaction.leaves.suspended


def test_only_a_commit_by_itself_is_decided_and_nothing_else_commits():
    transaction = Transaction()
    assert transaction.deferred.obstacle(judged("COMMIT; SELECT 1")) is None
    transaction.run(INSERT)
    for text in ("COMMIT", "end", "COMMIT AND CHAIN"):
        assert transaction.deferred.commits(judged(text))
        assert transaction.deferred.obstacle(judged(text)) is None
    for text in ("COMMIT; SELECT 1", "SELECT 1; END", "PREPARE TRANSACTION 'g'", "COMIT", "SELECT 'x"):
        assert not transaction.deferred.commits(judged(text))
        assert transaction.deferred.obstacle(judged(text)) is not None
    for text in ("ROLLBACK", "SAVEPOINT a; RELEASE a", "SELECT 1", "ROLLBACK AND CHAIN"):
        assert transaction.deferred.obstacle(judged(text)) is None


def test_where_it_may_run_ahead(monkeypatch):
    leaves = cast("Leaves", SimpleNamespace(suspended=False))
    found, acts = deferred.Deferred(leaves), [Act(INSERT)]
    assert found.may(judged(INSERT), acts, INSIDE, SHOP)
    for moment in (Moment(), Moment(in_transaction=False)):
        assert not found.may(judged(INSERT), acts, moment, SHOP)
    assert not found.may(judged(INSERT, in_doubt=True), acts, INSIDE, SHOP)
    for limit, most in (("MAX_WRITES", 0), ("MAX_EXECUTIONS", 0), ("MAX_BYTES", 10)):
        with monkeypatch.context() as patch:
            patch.setattr(deferred, limit, most)
            assert not found.may(judged(INSERT), acts, INSIDE, SHOP), limit


@pytest.mark.parametrize(
    ("kind", "may"),
    [
        *((kind, True) for kind in (RelationKind.TABLE, RelationKind.PARTITIONED)),
        *((kind, False) for kind in (RelationKind.FOREIGN, RelationKind.SEQUENCE, RelationKind.MATERIALIZED)),
    ],
)
def test_a_foreign_partition_is_enough(kind, may):
    parent = Relation("public", "p", RelationKind.PARTITIONED, (), children=("public.c",))
    child = Relation("public", "c", kind, (), children=("public.p",))
    snapshot = type(SHOP)("v", "shop", 180000, (parent, child))
    assert deferred._all_tables("public.p", snapshot, set()) is may


def test_a_batch_is_added_up():
    transaction = Transaction()
    transaction.run(INSERT)
    write = transaction.deferred.counting[0]
    write.done = Done(1, write.judgement, ("INSERT 0 2",) * 5, 0, changed=20)
    assert write.outcome == "5 runs, 10 rows, 20 rows changed with all that it set off"
    assert next(transaction.deferred.ran("s")).standing is Standing.COUNTS
