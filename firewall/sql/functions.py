"""Functions outside pg_catalog, and the types whose values set them off.

A function is what its body does, in the settings that it brings along. A type is what its checks, its input
and output, its casts and its operator classes do: whoever touches a value of the type may run any of them, so
all of them belong to every statement that touches it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from firewall.sql import bodies, grammar, reviewed
from firewall.sql.analysis import Kind, ObjectType
from firewall.sql.names import Name, find_functions, find_relations, of_strings, path_of
from firewall.sql.walk import MAX_BODIES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firewall.catalog.snapshot import Function, Relation, Type
    from firewall.sql.names import Scope
    from firewall.sql.walk import Walk

# Types of pg_catalog that queries name without a schema and that the grammar does not qualify itself; those
# that `pg_type` of 18 has, row types of its relations excepted.
BUILT_IN_TYPES = grammar.words(
    """
    text bytea uuid json jsonb date oid name regclass regproc regprocedure regtype regrole
    regnamespace regoper regoperator regconfig regdictionary regcollation inet cidr macaddr macaddr8
    money point line lseg box path polygon circle tsvector tsquery xml int2 int4 int8 float4 float8
    numeric bool varchar bpchar char timestamp timestamptz time timetz interval bit varbit int4range
    int8range numrange tsrange tstzrange daterange int4multirange int8multirange nummultirange
    tsmultirange tstzmultirange datemultirange record void anyelement anyarray anynonarray refcursor
    cstring xid xid8 cid tid pg_lsn pg_snapshot txid_snapshot jsonpath int2vector oidvector aclitem
    unknown trigger event_trigger internal pg_node_tree serial bigserial smallserial gtsvector
    any anycompatible anycompatiblearray anycompatiblenonarray anycompatiblerange
    anycompatiblemultirange anyenum anyrange anymultirange pg_ndistinct pg_dependencies pg_mcv_list
    pg_brin_bloom_summary pg_brin_minmax_multi_summary pg_ddl_command fdw_handler tsm_handler
    index_am_handler table_am_handler language_handler
    """
)

_PART = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_PRINTED = re.compile(rf"(?P<schema>{_PART})\.(?P<name>{_PART})")

# What makes up ranges: made with the type by Postgres itself (src/backend/utils/adt/rangetypes.c).
_CONSTRUCTORS = re.compile(r"(multi)?range_constructor[0-3]")
# A function's own settings that change how its body is read, or with whose rights it runs.
_UNREADABLE = frozenset({"role", "session_authorization", "standard_conforming_strings", "backslash_quote"})


def user_function(walk: Walk, function: Function, scope: Scope, *, by_type: bool = False) -> None:
    """What a function outside pg_catalog does: its body, or `execute` where that cannot be told.

    by_type: it is run to read, show, cast or compare values of a type. What does that in C was made by a
    superuser for the purpose, however volatile the extension's author left it.
    """
    danger = reviewed.danger(function.name)
    if danger is not None and function.language not in {"sql", "plpgsql"}:
        walk.effect(danger, function.qualified, scope, ObjectType.FUNCTION)
    for printed in (*function.takes, function.returns):
        touch(walk, printed, scope)
    # Only a superuser can create functions in C, the immutable ones promise to look at nothing but their
    # arguments, and Postgres itself runs them ahead of time on the strength of it. They are the operators
    # and types of extensions, so to hold them all would hold every query over citext or PostGIS.
    if function.language == "c" and (
        by_type or function.volatility == "immutable" or function.name in reviewed.HARMLESS_IN_C
    ):
        return
    if (
        function.language == "internal"
        and function.kind == "function"
        and (_built_in(walk, function, scope) or by_type)
    ):
        return
    if not walk.enter(f"function {function.qualified} {function.body}{function.uses}"):
        return
    if function.uses:
        for part in function.uses:
            run(walk, part, scope)
        return
    within = replace(
        scope,
        path=None,
        every=False,
        temporary=walk.after.doubtful,
        ctes=frozenset(),
        printed=False,
        via=scope.via if scope.via.startswith("trigger ") else f"function {function.qualified}",
        depth=scope.depth + 1,
    )
    for name, value in function.settings:
        if name in _UNREADABLE:
            walk.effect(Kind.EXECUTE, function.qualified, scope, ObjectType.FUNCTION)
            return
        if name == "search_path":
            within = replace(within, path=listed(value), every=True)
    if within.depth > MAX_BODIES or not bodies.walk_body(walk, function, within):
        walk.effect(Kind.EXECUTE, function.qualified, scope, ObjectType.FUNCTION)


def defaults(walk: Walk, function: Function, scope: Scope) -> None:
    """What stands in for the arguments that a call leaves out."""
    via = f"default of {function.qualified}"
    if function.defaults and walk.enter(f"{via} {function.defaults}"):
        expression(walk, function.defaults, replace(scope, via=via, depth=scope.depth + 1))


def _built_in(walk: Walk, function: Function, scope: Scope) -> bool:
    """Whether a function in the server's own C code is understood; its body is the code's name there.

    Only a superuser can give built-ins other names. Those that come with a range type make ranges; of
    the rest the dangerous ones are what they are, and the immutable ones compute, as in C.
    """
    kind = reviewed.danger(function.body)
    if kind is not None:
        walk.effect(kind, function.qualified, scope, ObjectType.FUNCTION)
    immutable = function.volatility == "immutable"
    return kind is not None or immutable or _CONSTRUCTORS.fullmatch(function.body) is not None


@lru_cache(maxsize=256)
def listed(value: str) -> tuple[str, ...] | None:
    """The schemas in a function's `SET search_path`; None where they depend on who calls it."""
    if value.strip() in {"", '""', "''"}:
        return ()
    parsed = grammar.parse(f"SET search_path = {value}")
    if not isinstance(parsed, tuple) or len(parsed) != 1 or parsed[0].kind != "VariableSetStmt":
        return None
    names = [
        item.get("A_Const", {}).get("sval", {}).get("sval", "") for item in parsed[0].tree.get("args", ())
    ]
    return tuple(name for name in names if name != "pg_temp") if "$user" not in names else None


def run(walk: Walk, qualified: str, scope: Scope, *, by_type: bool = False) -> None:
    """Whatever functions of this name do; they are run by what the catalog says, not named in the text."""
    schema, _, name = qualified.partition(".")
    if schema in reviewed.SYSTEM_SCHEMAS:
        kind = reviewed.danger(name)
        if kind is not None:
            walk.effect(kind, qualified, scope, ObjectType.FUNCTION)
        return
    found = find_functions(Name(schema, name), -1, scope, walk.snapshot)
    if not found:
        walk.effect(Kind.EXECUTE, qualified, scope, ObjectType.FUNCTION)
    for function in found:
        user_function(walk, function, scope, by_type=by_type)


@lru_cache(maxsize=4096)
def _own_types(printed: str) -> tuple[Name, ...]:
    """The types outside pg_catalog that a printed type or list of columns names."""
    if "." not in printed:
        return ()
    return tuple(Name(_bare(m["schema"]), _bare(m["name"])) for m in _PRINTED.finditer(printed))


def _bare(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def touch(walk: Walk, printed: str, scope: Scope) -> None:
    """A value of the type, as format_type prints it, may be made, cast, compared or shown."""
    for name in _own_types(printed):
        kinds = walk.snapshot.types_by_name.get(name.name, ())
        touch_types(walk, (kind for kind in kinds if kind.schema == name.schema), scope)
        relation = walk.snapshot.by_name.get(name.schema, {}).get(name.name)
        if relation is not None:
            touch_row(walk, relation, scope)


def touch_row(walk: Walk, relation: Relation, scope: Scope) -> None:
    """A row of the relation: all of its columns' types, and what compares and casts whole rows."""
    for column in relation.columns:
        if "." in column.type:
            touch(walk, column.type, scope)
    _set_off(walk, relation.schema, relation.name, scope)


def touch_types(walk: Walk, kinds: Iterable[Type], scope: Scope) -> None:
    for kind in kinds:
        qualified = f"{kind.schema}.{kind.name}"
        if not walk.enter(f"type {qualified}"):
            continue
        within = replace(scope, via=f"type {qualified}", depth=scope.depth + 1)
        for function in kind.functions:
            run(walk, function, within, by_type=True)
        for check in kind.checks:
            expression(walk, check, within)
        touch(walk, kind.of, scope)
        _set_off(walk, kind.schema, kind.name, scope)


def _set_off(walk: Walk, schema: str, name: str, scope: Scope) -> None:
    """What casts and compares values of the type."""
    if not walk.snapshot.run_by_type:
        return
    found = walk.snapshot.run_by_type.get(_printed(schema, name), ())
    if found and walk.enter(f"casts of {schema}.{name}"):
        within = replace(scope, via=f"type {schema}.{name}", depth=scope.depth + 1)
        for function in found:
            run(walk, function, within, by_type=True)


def _printed(schema: str, name: str) -> str:
    """As format_type prints it; names that are keywords it quotes too, which are looked for in vain here."""
    return f"{_quoted(schema)}.{_quoted(name)}"


def _quoted(part: str) -> str:
    return part if re.fullmatch(r"[a-z_][a-z0-9_]*", part) else '"' + part.replace('"', '""') + '"'


def everywhere(walk: Walk, scope: Scope) -> None:
    """Casts and operator classes of built-in types, which any statement may use without naming them."""
    for printed, functions in walk.snapshot.run_by_type.items():
        if "." not in printed:
            within = replace(scope, via=f"type {printed}", depth=scope.depth + 1)
            for function in functions:
                run(walk, function, within, by_type=True)


def parameters(walk: Walk, oids: Iterable[int], scope: Scope) -> None:
    """Values of these types are read before the statement runs."""
    for oid in oids:
        printed = walk.snapshot.types_by_oid.get(oid)
        if printed is None:
            name = f"type {oid}"
            walk.unknown(f"there is no type `{oid}` in the catalog", name, scope, ObjectType.TYPE)
        else:
            touch(walk, printed, replace(scope, via="parameter", depth=scope.depth + 1))


def expression(walk: Walk, text: str, scope: Scope) -> None:
    """An expression (or a list of them) that Postgres printed from its catalog."""
    within = replace(scope, path=None, every=False, ctes=frozenset(), printed=True)
    parsed = grammar.kept(f"SELECT {text}")
    if isinstance(parsed, tuple) and len(parsed) == 1 and parsed[0].kind == "SelectStmt":
        walk.visit(parsed[0].kind, parsed[0].tree, within)
    else:
        walk.unknown(f"the expression `{text}` in the catalog cannot be read", scope.via, within)


def type_name(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    """A type that the text names: a cast to it, a column of it, a parameter of it."""
    walk.values(node.get("typmods"), scope)
    name = of_strings(grammar.strings(node.get("names")))
    if node.get("pct_type"):
        parts = grammar.strings(node.get("names"))
        name = of_strings(parts[:-1])
        found = find_relations(name, scope, walk.snapshot).relations if name.name else ()
        for relation in found:
            touch_row(walk, relation, scope)
        return
    if name.schema == "pg_catalog":
        return
    if named_type(walk, name, scope) or (not name.schema and name.name.lstrip("_") in BUILT_IN_TYPES):
        return
    if name.schema == "information_schema":
        return
    walk.missing[str(name)] = None
    walk.unknown(f"there is no type `{name}` in the catalog", str(name), scope, ObjectType.TYPE)


def named_type(walk: Walk, name: Name, scope: Scope) -> bool:
    """A value of a type outside pg_catalog of this name may be made; whether there is such a type."""
    if f"type {_element(name).name}" in scope.temporary and name.schema != "pg_catalog":
        walk.unknown(f"`{name}` may be a type that this session made", str(name), scope, ObjectType.TYPE)
        return True
    kinds = _kinds(walk, name, scope)
    touch_types(walk, kinds, scope)
    relations = find_relations(_element(name), scope, walk.snapshot).relations
    for relation in relations:
        touch_row(walk, relation, scope)
    return bool(kinds) or any(relation.columns for relation in relations)


def _element(name: Name) -> Name:
    """An array type's name is its element's with an underscore before it."""
    return replace(name, name=name.name.lstrip("_") or name.name)


def _kinds(walk: Walk, name: Name, scope: Scope) -> list[Type]:
    schemas = None if scope.path is None else path_of(scope, walk.snapshot)
    names = {name.name, _element(name).name}
    return [
        kind
        for each in names
        for kind in walk.snapshot.types_by_name.get(each, ())
        if kind.schema == name.schema or (not name.schema and (schemas is None or kind.schema in schemas))
    ]
