"""From a policy file to a policy, or to every problem in it.

A policy loads as a whole or not at all. Each problem names file, line, column and field, shows the offending
text in backticks and says what to write instead.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from firewall.errors import ConfigurationError, Place, Problem
from firewall.policy import compile as compiling
from firewall.policy.document import Document, FieldPath, contradictions
from firewall.policy.source import MAX_BYTES, Source, read, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

    from firewall.policy.compile import Policy

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
    return compiling.build(validate(Document, source, contradictions), source)


def validate(
    model: type[M],
    source: Source,
    between: Callable[[Any], Iterator[tuple[FieldPath, str]]] = lambda _: iter(()),
) -> M:
    """The source's data as this model; `between` checks its fields against each other.

    Raises `ConfigurationError`, problems in the file's order.
    """
    problems = [Problem(source.place(path), dotted(path), message) for path, message in between(source.data)]
    try:
        document = model.model_validate(source.data)
    except ValidationError as error:
        problems += [_problem(detail, model, source) for detail in error.errors(include_url=False)]
    else:
        if not problems:
            return document
    problems.sort(key=lambda p: (p.place.line, p.place.column))
    raise refused(list(dict.fromkeys(problems)))


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


def dotted(path: FieldPath) -> str:
    """`rules[2].when.agents`"""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{shown(step)}" if text else shown(step)
    return text


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
