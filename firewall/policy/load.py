"""From a policy file to a policy, or to every problem in it.

A policy loads as a whole or not at all. Each problem names file, line, column and field, shows the offending
text in backticks and says what to write instead.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from firewall.errors import ConfigurationError, Place, Problem
from firewall.policy import between, include
from firewall.policy import compile as compiling
from firewall.policy.document import Document
from firewall.policy.include import dotted
from firewall.policy.source import MAX_BYTES, Source, read, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

    from firewall.policy.compile import Policy
    from firewall.policy.document import Approval
    from firewall.policy.fields import FieldPath

M = TypeVar("M", bound=BaseModel)

MAX_PROBLEMS: Final = 100  # nobody reads more, and a hostile file could have a million
HINT = "every key is explained, with an example, in policies/README.md"


def load(path: Path) -> Policy:
    """The policy in this file. Raises `ConfigurationError` with every problem found."""
    return parse(text_of(path), path)


def parse(text: str, file: Path) -> Policy:
    """The policy in this text; `file` is what errors call it. Raises `ConfigurationError`."""
    source = read(text.removeprefix("\ufeff"), file)
    if source.problems:
        raise refused(source.problems)
    files = include.Files(lambda path: read(text_of(path), path), problems_of)
    files.gather(source)
    sources = list(files.sources.values())
    problems = problems_of(Document, source, between.contradictions) + files.problems
    if not problems:
        problems = [*include.clashes(source, sources), *_undefined(source, sources)]
    if problems:
        raise refused(_in_order(problems))
    source.included = sources
    document = Document.model_validate(include.merged(source.data, sources))
    if memberless := _memberless(document, source):
        raise refused(_in_order(memberless))
    return compiling.build(document, source)


def validate(
    model: type[M],
    source: Source,
    between: Callable[[Any], Iterator[tuple[FieldPath, str]]] = lambda _: iter(()),
) -> M:
    """The source's data as this model; `between` checks its fields against each other.

    Raises `ConfigurationError`, problems in the file's order.
    """
    problems = problems_of(model, source, between)
    if problems:
        raise refused(_in_order(problems))
    return model.model_validate(source.data)


def problems_of(
    model: type[BaseModel],
    source: Source,
    between: Callable[[Any], Iterator[tuple[FieldPath, str]]] = lambda _: iter(()),
) -> list[Problem]:
    """Everything that is wrong with the source's data as this model."""
    problems = [Problem(source.place(path), dotted(path), message) for path, message in between(source.data)]
    try:
        model.model_validate(source.data)
    except ValidationError as error:
        problems += [_problem(detail, model, source) for detail in error.errors(include_url=False)]
    return problems


def _undefined(source: Source, sources: list[Source]) -> Iterator[Problem]:
    """Names that rules use and no file defines."""
    whole = include.merged(source.data, sources)
    environments = whole.get("environments")
    known = (environments,) if isinstance(environments, str) else environments and tuple(environments)
    for path, message in between.unknown_names(whole, frozenset(whole.get("selectors", ())), known):
        yield Problem(source.place(path), dotted(path), message)


def _memberless(document: Document, source: Source) -> list[Problem]:
    """Groups that are to decide and have no members, where there are any approvers at all."""
    approvals: list[tuple[FieldPath, Approval | None]] = [(("approval",), document.approval)]
    approvals += [(("rules", n, "approval"), rule.approval) for n, rule in enumerate(document.rules)]
    approvals += [(("budgets", n, "approval"), budget.approval) for n, budget in enumerate(document.budgets)]
    groups = sorted({group for person in document.approvers.values() for group in person.groups})
    found = []
    for path, approval in approvals if groups else ():
        for number, group in enumerate((approval and approval.groups) or ()):
            if group not in groups:
                near = get_close_matches(group, groups, n=1)
                meant = f"did you mean `{near[0]}`?" if near else "add someone under `approvers`"
                here = (*path, "groups", number)
                message = f"nobody is in the group `{group}`; {meant}"
                found.append(Problem(source.place(here), dotted((*path, "groups")), message))
    return found


def _in_order(problems: list[Problem]) -> list[Problem]:
    """Each once, file by file as they were first named, in the order of the file."""
    files = list(dict.fromkeys(problem.place.file for problem in problems))
    problems.sort(key=lambda p: (files.index(p.place.file), p.place.line, p.place.column))
    return list(dict.fromkeys(problems))


def refused(problems: list[Problem]) -> ConfigurationError:
    """The error that names all problems, or the first hundred and how many more there are."""
    told = problems[:MAX_PROBLEMS]
    if len(problems) > len(told):
        file = Place(problems[0].place.file)
        told.append(Problem(file, "", f"and {len(problems) - len(told)} more; correct these first"))
    return ConfigurationError(tuple(told), hint=HINT)


def text_of(path: Path) -> str:
    """The file's text. Raises `ConfigurationError` if there is none to read."""
    try:
        if not path.is_file():
            what = "is not a file" if path.exists() else "does not exist"
            raise _unreadable(path, f"{what}; name a policy file, e.g. `policies/production.yaml`")
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(
            path, f"cannot be read ({error.strerror}); check the path and its permissions"
        ) from None
    if len(raw) > MAX_BYTES:
        raise _unreadable(path, f"is larger than {MAX_BYTES >> 20} MiB; split it by database")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8")) + 1
        message = f"the byte `0x{raw[error.start]:02x}` is not UTF-8; save the file as UTF-8"
        raise ConfigurationError((Problem(Place(path, line, column), "", message),), hint=HINT) from None


def _unreadable(path: Path, message: str) -> ConfigurationError:
    return ConfigurationError((Problem(Place(path), "", f"`{shown(path)}` {message}"),))


def _problem(detail: ErrorDetails, model: type[BaseModel], source: Source) -> Problem:
    # pydantic marks an error in a mapping's key by a last step of its own
    path = detail["loc"]
    of_key = bool(path) and path[-1] == "[key]"
    if of_key:
        path = path[:-1]
    of_key = of_key or detail["type"] == "extra_forbidden"
    return Problem(source.place(path, key=of_key), dotted(path), _message(detail, path, model))


def _message(detail: ErrorDetails, path: FieldPath, model: type[BaseModel]) -> str:
    """What is wrong, in the house's words; pydantic's own where it knows of a case that we do not."""
    given = shown(_spelt(detail["input"]))
    context: Mapping[str, Any] = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            return _unknown_key(path, model)
        case "missing":
            return f"`{path[-1]}` is missing{_example(str(path[-1]))}"
        case "value_error":
            return str(context["error"])
        case "string_type":
            return f"`{given}` is {_sort(detail['input'])}, and a text is needed; write it in quotes"
        case "bool_type":
            return f"`{given}` is neither true nor false; write `true` or `false`"
        case "literal_error" | "enum":
            return f"`{given}` is not known here; write {context['expected'].replace(chr(39), '`')}"
        case "int_type" | "int_parsing":
            return f"`{given}` is not a whole number"
        case "greater_than_equal" | "less_than_equal":
            bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
            return f"`{given}` is out of range; it must be {bound}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return (
                f"`{given}` is {_sort(detail['input'])}, and a mapping is needed; write `key: value` below it"
            )
        case "tuple_type" | "list_type":
            return f"`{given}` is {_sort(detail['input'])}, and a list is needed; write `[a, b]`"
        case "too_short":
            return "the list is empty; write at least one"
        case _:
            return f"`{given}`: {detail['msg'].lower()}"


def _spelt(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case dict():
            return "{…}"
        case list():
            return "[…]"
        case _:
            return str(value)


def _sort(value: object) -> str:
    names = {bool: "true or false", int: "a number", str: "a text", dict: "a mapping", list: "a list"}
    return names.get(type(value), "nothing")


EXAMPLES = {
    "version": "version: 1",
    "default": "default: hold",
    "name": "name: reads of unlabelled data",
    "why": "why: nothing sensitive reaches the client",
    "groups": "groups: [dba]",
    "from": "from: 09:00",
    "to": "to: 17:30",
    "labels": "labels: pii",
    "rows": "rows: 500",
    "per": "per: 1h",
    "user": "user: U012AB3CD",
    "rules": "rules:",
}


def _example(key: str) -> str:
    return f"; write e.g. `{EXAMPLES[key]}`" if key in EXAMPLES else ""


def _unknown_key(path: FieldPath, model: type[BaseModel]) -> str:
    known = list(_model_at(path[:-1], model).model_fields)
    key = str(path[-1])
    near = get_close_matches(key, known, n=1)
    meant = f"did you mean `{near[0]}`?" if near else f"the keys here are {', '.join(known)}"
    return f"`{shown(key)}` is not a key here; {meant}"


def _model_at(path: FieldPath, model: type[BaseModel]) -> type[BaseModel]:
    """The model that a path leads to, by the annotations on the way."""
    for step in path:
        if isinstance(step, str) and step in model.model_fields:
            inner = _models(model.model_fields[step].annotation)
            model = inner[0] if inner else model
    return model


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models(argument)]
