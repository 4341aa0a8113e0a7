"""Whatever a client sends and however it is cut: what runs ahead is not committed without the decision."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from firewall import session, wire

from .test_properties import World, encoded

if TYPE_CHECKING:
    from collections.abc import Callable

REFUSAL = session.Refusal("QF001", "rejected")
TEXTS = ("SELECT approved", "COMMIT", "BEGIN", "SELECT allow", "FAIL approved", "ROLLBACK")
WEIGHTS = (8, 6, 4, 1, 1, 1)


@dataclass
class Deferring(World):
    """An edge as `proxy.deferred` has it. yes: what people say to a COMMIT; asked: with how many runs."""

    yes: Callable[[], bool] = lambda: False
    ahead: int = 0
    asked: list[int] = field(default_factory=list)

    def _client(self) -> None:
        if not self._open():
            super()._client()
            return
        n = self._cut(len(self.script))
        data, self.script = self.script[:n], self.script[n:]
        self.machine_says(self.machine.receive_frontend(data))

    def _open(self) -> bool:
        if self.machine.status == "I":
            self.ahead = 0
        return self.ahead > 0

    def _ruling(self, judge: session.Judge) -> session.Ruling:
        ruled = super()._ruling(judge)
        if self._open() and judge.sql == "COMMIT":
            return replace(ruled, action=session.Action.HOLD, commits=True)
        return ruled

    def _decide(self) -> None:
        task = self.todo[0]
        if isinstance(task, session.Judge) or task.ruling.action is not session.Action.HOLD:
            super()._decide()
            return
        self.todo.pop(0)
        open_ = self._open()
        if task.ruling.commits and not task.failed and open_:
            self.asked.append(self.model.written)
            leave = self.yes()
        else:
            # the others are held at once, and nobody lets them
            leave = task.ruling.commits or self.machine.in_transaction is True
        if not leave:
            self.leave["ROLLBACK", ()] += task.ruling.commits
            self.machine_says(self.machine.refused(task.ticket, REFUSAL))
            return
        for act in task.acts:
            self.leave[act.sql, act.parameters] += 1
        self.ahead += not task.ruling.commits
        self.machine_says(self.machine.cleared(task.ticket, ahead=not task.ruling.commits))


def step(dice: random.Random) -> list[wire.FrontendMessage]:
    """A text by a Query; or prepared, bound and executed, together or apart from each other."""
    (text,) = dice.choices(TEXTS, weights=WEIGHTS)
    if dice.randrange(2):
        return [wire.Sync(), wire.Query(text)]
    name = dice.choice(["", "c"])
    messages: list[wire.FrontendMessage] = [wire.Close("P", name), wire.Close("S", name)]
    messages += [wire.Parse(name, text), *([wire.Bind(name, name)] if dice.randrange(6) else [])]
    if dice.randrange(3):
        messages.append(wire.Execute(name if dice.randrange(4) else dice.choice(["", "c"])))
    return [*messages, *([wire.Sync()] if dice.randrange(3) else [])]


def bound(name: str, text: str) -> list[wire.FrontendMessage]:
    return [wire.Close("S", name), wire.Parse(name, text), wire.Bind(name, name), wire.Sync()]


# ways around it, step by step; anything may happen between the steps
AROUND: list[list[list[wire.FrontendMessage]]] = [
    [[], [], []],
    [bound("a", "COMMIT"), [wire.Query("SELECT approved")], [wire.Execute("a"), wire.Sync()]],
    [
        bound("a", "SELECT approved"),
        [wire.Query("SELECT approved")],
        [*bound("b", "COMMIT")[:-1], wire.Execute("a"), wire.Execute("b"), wire.Sync()],
    ],
    [
        bound("a", "COMMIT"),
        bound("b", "SELECT approved"),
        [wire.Execute("b"), wire.Execute("a"), wire.Sync()],
    ],
]


def test_nothing_that_ran_ahead_is_committed_without_the_decision() -> None:
    """INVARIANT: 2, 3, 6."""
    asked, committed, rejected = 0, 0, 0

    @settings(max_examples=200)
    @given(st.integers(0, 2**64))
    def play(seed: int) -> None:
        nonlocal asked, committed, rejected
        dice = random.Random(seed)
        yes = bool(dice.randrange(2))
        around = dice.choice(AROUND)
        noise = [[step(dice) for _ in range(dice.randrange(3))] for _ in (*around, 0)]
        script = [
            *noise[0],
            *(each for way, more in zip(around, noise[1:], strict=True) for each in (way, *more)),
        ]
        world = Deferring(encoded([[wire.Query("BEGIN")], *script]), dice, yes=lambda: yes)
        world.run()
        assert not world.closed
        assert world.machine.idle
        written = [number for number in world.model.committed if number]
        # INVARIANT: 6. each is committed by a decision of its own, and as it was when that was made
        decisions = iter(world.asked if yes else ())
        assert all(number in decisions for number in written)
        asked, committed = asked + len(world.asked), committed + len(written)
        rejected += 0 if yes else len(world.asked)

    play()
    assert min(asked, committed, rejected) > 3, "it was hardly tried"
