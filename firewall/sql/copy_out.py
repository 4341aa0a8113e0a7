"""What COPY … TO STDOUT sends: the columns, by a query that has the same, and how they are written.

What is said here is taken to read values back out of the data, so where an option is not known, or leaves it
open where a value ends, nothing is said at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from firewall.sql import grammar
from firewall.sql.analysis import CopyFormat, CopyOut

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from firewall.sql.grammar import Parsed
    from firewall.sql.walk import Walk

# they concern which values are quoted, or only the way in: then Postgres rejects them
_HARMLESS: Final = frozenset({"force_quote", "freeze"})
_TRUE: Final = frozenset({"true", "on", "1"})
_FALSE: Final = frozenset({"false", "off", "0"})
# characters that DELIMITER cannot be in text format, by Postgres's own rule
_NO_DELIMITER: Final = frozenset("\\.abcdefghijklmnopqrstuvwxyz0123456789")
_LINE_ENDS: Final = frozenset("\r\n")

# Encodings in which no byte of a multi-byte character is ASCII (manual 23.3.1), as Postgres compares their
# names: letters and digits alone, lower case
ENCODINGS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("utf8", "unicode"), "UTF8"),
    "sqlascii": "SQL_ASCII",
    **{f"latin{n}": f"LATIN{n}" for n in range(1, 11)},
    **{f"iso8859{part}": f"LATIN{n}" for n, part in enumerate((1, 2, 3, 4, 9, 10, 13, 14, 15, 16), 1)},
    **{f"iso8859{n}": f"ISO_8859_{n}" for n in (5, 6, 7, 8)},
    **dict.fromkeys(("koi8", "koi8r"), "KOI8R"),
    "koi8u": "KOI8U",
    **{f"{of}{n}": f"WIN{n}" for of in ("win", "windows") for n in (866, 874, *range(1250, 1259))},
    **{f"euc{of}": f"EUC_{of.upper()}" for of in ("jp", "cn", "kr", "tw")},
    "eucjis2004": "EUC_JIS_2004",
}


def query(walk: Walk, statement: Parsed) -> Parsed | None:
    """The query that reads what COPY of a table does; None if the table's columns are not known."""
    named = tuple(relation for relation, via in walk.reads if not via)
    relation = walk.snapshot.relation(named[0]) if len(named) == 1 else None
    if relation is None or not relation.columns:
        return None
    parsed = grammar.parse(_select(statement.tree, _columns(statement.tree, walk), only=False))
    return parsed[0] if isinstance(parsed, tuple) and len(parsed) == 1 else None


def of(walk: Walk, statement: Parsed, inner: str) -> CopyOut | None:
    """What the statement sends. inner: the query in it as it stands there; empty of a table's COPY."""
    tree = statement.tree
    if statement.kind != "CopyStmt" or tree.get("is_from") or tree.get("filename") or tree.get("is_program"):
        return None
    if "relation" in tree:
        inner = _select(tree, _columns(tree, walk), only=True)
    return _written(inner, dict(_options(tree)), len(tree.get("options", ())))


def _columns(tree: Mapping[str, Any], walk: Walk) -> tuple[str, ...]:
    """Those that are named, or all but what is computed when it is read (manual, COPY)."""
    given = grammar.strings(tree.get("attlist"))
    if given:
        return given
    known = (walk.snapshot.relation(name) for name, via in walk.reads if not via)
    return tuple(c.name for relation in known if relation for c in relation.columns if not c.generated)


def _select(tree: Mapping[str, Any], columns: tuple[str, ...], *, only: bool) -> str:
    parts = (tree["relation"].get(part) for part in ("catalogname", "schemaname", "relname"))
    name = ".".join(_quoted(part) for part in parts if part)
    of_it = "ONLY " if only else ""
    return f"SELECT {', '.join(map(_quoted, columns))} FROM {of_it}{name}"  # noqa: S608 — names, quoted


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _options(tree: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Names and values; a list or a star, which only FORCE_QUOTE and its like have, is no value."""
    for item in tree.get("options", ()):
        option = item["DefElem"]
        ((kind, value),) = option.get("arg", {"": {}}).items()
        match kind:
            case "String":
                yield option["defname"], value.get("sval", "")
            case "Integer":
                yield option["defname"], str(value.get("ival", 0))
            case "Boolean":
                yield option["defname"], "true" if value.get("boolval") else "false"
            case _:
                yield option["defname"], None


def _written(asked: str, options: dict[str, str | None], count: int) -> CopyOut | None:
    if len(options) != count:
        return None  # one of them twice
    form = options.pop("format", "text")
    if form not in set(CopyFormat):
        return None
    form = CopyFormat(form)
    for name in _HARMLESS:
        options.pop(name, None)
    header = _switch(options.pop("header", "true")) if "header" in options else False
    encoding = ENCODINGS.get(_bare(options.pop("encoding") or ""), None) if "encoding" in options else ""
    csv = form is CopyFormat.CSV
    delimiter = options.pop("delimiter", "," if csv else "\t")
    null = options.pop("null", "" if csv else "\\N")
    quote = options.pop("quote", '"')
    escape = options.pop("escape", quote)
    if options or header is None or encoding is None:
        return None
    if delimiter is None or null is None or quote is None or escape is None:
        return None
    signs = (delimiter, quote, escape)
    if not all(len(sign) == 1 and sign.isascii() and sign not in _LINE_ENDS for sign in signs):
        return None
    if not null.isascii() or not _LINE_ENDS.isdisjoint(null) or delimiter in null:
        return None
    if csv and (delimiter == quote or quote in null):
        return None
    if not csv and (delimiter in _NO_DELIMITER or ("\\" in null and null != "\\N")):
        return None
    return CopyOut(asked, form, header, delimiter, null, quote, escape, encoding)


def _switch(value: str | None) -> bool | None:
    """As Postgres reads a Boolean option."""
    if value is None or value.lower() in _TRUE:
        return True
    return False if value.lower() in _FALSE else None


def _bare(name: str) -> str:
    return "".join(char for char in name if char.isascii() and char.isalnum()).lower()
