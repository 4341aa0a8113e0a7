"""`if:`, a condition in the Common Expression Language (CEL), for what matchers cannot say.

It is asked for one effect at a time, when everything else about a rule matches. It has no access to anything
but the variables below, ends soon, and does no I/O. What is not known at the moment is null, and comparing
null is an error: an error is a deny, whatever the rule is.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import cel

from firewall.policy import moment as moments
from firewall.policy.moment import Fact
from firewall.policy.source import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from firewall.policy.moment import Moment
    from firewall.policy.verdict import Risk, Subject
    from firewall.sql.analysis import Effect

MAX_LENGTH: Final = 1000  # characters; what is longer nobody reviews
# names that a macro binds: `labels.exists(label, label.startsWith("pii"))`
BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|filter|map)\s*\(\s*([A-Za-z_]\w*)\s*,")
POSITION = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?(.*)")

# variables: how each is read, and a value of its type to try an expression with
SUBJECT: Final = frozenset({"agent", "owner", "team", "database", "environment"})
OF_EFFECT: Final[dict[str, Callable[[Effect], object]]] = {
    "effect": lambda e: e.kind.value,
    "object": lambda e: e.object,
    "type": lambda e: e.type.value,
    "via": lambda e: e.via,
    "columns": lambda e: list(e.columns),
    "tested": lambda e: list(e.tested),
    "labels": lambda e: list(e.labels),
    "tested_labels": lambda e: list(e.tested_labels),
    "unfiltered": lambda e: e.unfiltered,
}
FACTS: Final = {
    "now": Fact.CLOCK,
    "rows": Fact.ROWS,
    "first_use": Fact.FIRST_USE,
    "in_transaction": Fact.TRANSACTION,
    "transaction_age": Fact.TRANSACTION,
    "risk": Fact.ROWS,
}
VARIABLES: Final = (*sorted(SUBJECT), *OF_EFFECT, *FACTS)
FUNCTIONS: Final = frozenset(
    {
        *("size", "has", "contains", "startsWith", "endsWith", "matches", "dyn"),
        *("int", "uint", "double", "string", "bytes", "timestamp", "duration"),
        *("getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate", "getDayOfWeek"),
        *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
    }
)
_LISTS: Final = ("columns", "tested", "labels", "tested_labels")
_FLAGS: Final = ("unfiltered", "first_use", "in_transaction")
_TEXT: Final = "text"


class ExpressionError(Exception):
    """An expression could not be evaluated; why, in one line."""


class Expression:
    """A compiled condition. names: the variables that it reads. facts: what it looks at beyond the effect."""

    __slots__ = ("_program", "facts", "names", "of_effect", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._program = _compiled(text)
        used = set(self._program.variables())
        self.names = tuple(name for name in VARIABLES if name in used)
        self.of_effect = any(name in OF_EFFECT or name in {"rows", "risk"} for name in self.names)
        self.facts = frozenset(FACTS[name] for name in self.names if name in FACTS)

    def holds(self, subject: Subject, effect: Effect, moment: Moment, risk: Risk) -> bool:
        """Is it true of this? Raises ExpressionError when it is neither true nor false."""
        values: dict[str, object] = {}
        for name in self.names:
            if name in SUBJECT:
                values[name] = getattr(subject, name)
            elif name in OF_EFFECT:
                values[name] = OF_EFFECT[name](effect)
            elif name == "rows":
                rows = moments.rows_of(effect, moment)
                values[name] = None if rows is None else int(rows)
            elif name == "risk":
                values[name] = risk.value
            else:
                values[name] = getattr(moment, name)
        return _true(self._program, values)


def complaint(text: str) -> str:
    """What is wrong with an expression; empty when nothing is.

    CEL here has no type checker: names are looked up, and the expression is tried with values of every
    variable's type, so that `rows > "many"` is found when the policy loads.
    """
    if not text.strip():
        return "is empty; write a condition, e.g. `rows > 1000 && agent != 'etl'`, or leave `if` out"
    if len(text) > MAX_LENGTH:
        return f"is longer than {MAX_LENGTH} characters; make several rules of it"
    try:
        program = _compiled(text)
    except ExpressionError as error:
        return f"`{shown(text)}` is not CEL: {error}; write e.g. `rows > 1000 && agent != 'etl'`"
    bound = set(BOUND.findall(text))
    for name in program.variables():
        if name not in VARIABLES and name not in bound:
            return f"`{shown(name)}` is not a variable; {_meant(name, VARIABLES)}"
    for name in program.functions():
        if name.isidentifier() and not name.startswith("_") and name not in FUNCTIONS:
            return f"`{shown(name)}` is not a function; {_meant(name, sorted(FUNCTIONS))}"
    return _tried(text, program)


def _meant(name: str, known: tuple[str, ...] | list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"did you mean `{near[0]}`?" if near else f"write one of {', '.join(known)}"


def _tried(text: str, program: cel.Program) -> str:
    """Evaluate with empty and with filled lists, with flags off and on."""
    for filled, flag in product((False, True), (False, True)):
        values: dict[str, object] = dict.fromkeys(VARIABLES, _TEXT)
        values |= {name: [_TEXT] if filled else [] for name in _LISTS}
        values |= dict.fromkeys(_FLAGS, flag)
        values |= {"rows": 1, "transaction_age": 1.0, "now": datetime(2000, 1, 1, tzinfo=UTC), "risk": "low"}
        try:
            result = program.execute(values)
        except (IndexError, KeyError, ZeroDivisionError, OverflowError):
            continue  # that depends on the values, which are not these
        except BaseException as error:  # noqa: BLE001 — see `_execute`
            _reraise(error)
            return f"`{shown(text)}` cannot be evaluated: {_why(error)}"
        if not isinstance(result, bool):
            return f"`{shown(text)}` is {_sort(result)}, and a condition is needed; compare it with something"
    return ""


def _compiled(text: str) -> cel.Program:
    try:
        return cel.compile(text)
    except BaseException as error:  # noqa: BLE001 — see `_execute`
        _reraise(error)
        raise ExpressionError(_why(error)) from None


def _true(program: cel.Program, values: dict[str, object]) -> bool:
    try:
        result = program.execute(values)
    except BaseException as error:  # noqa: BLE001 — a panic of the compiled library is no Exception
        _reraise(error)
        raise ExpressionError(_why(error)) from None
    if not isinstance(result, bool):
        raise ExpressionError(f"it is {_sort(result)}, neither true nor false")
    return result


def _reraise(error: BaseException) -> None:
    if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit)):
        raise error


def _why(error: BaseException) -> str:
    """The library's own words, in one line and without the text, which is shown beside them."""
    words = str(error)
    if found := POSITION.search(words):
        return f"in its line {found[1]}, column {int(found[2])}, {shown(found[3])}"
    if isinstance(error, TypeError):
        return "its types do not fit together; convert with `int(…)`, `double(…)` or `string(…)`"
    if isinstance(error, KeyError):
        return f"there is no `{shown(words.strip(chr(39)))}`"
    return shown(words.splitlines()[0].removesuffix(":") if words else type(error).__name__)


def _sort(value: Any) -> str:
    names = {
        str: "a text",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "a map",
        type(None): "null",
    }
    return names.get(type(value), f"a {type(value).__name__}")
