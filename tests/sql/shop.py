"""A shop's catalog, built in Python, and the corpora that are judged against it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from firewall.catalog.snapshot import (
    Column,
    ForeignKey,
    Function,
    Operator,
    Relation,
    RelationKind,
    Snapshot,
    Trigger,
    Type,
    TypeKind,
)

FIXTURES = Path(__file__).parents[2] / "fixtures"
EVERY_WRITE = ("insert", "update", "delete")


def relation(name, columns, kind=RelationKind.TABLE, **more):
    """A relation from `schema.name` and its columns' names; a column may be `name=default`."""
    schema, _, bare = name.rpartition(".")
    made = tuple(
        Column(column.partition("=")[0], "text", number, default=column.partition("=")[2])
        for number, column in enumerate(columns.split(), 1)
    )
    return Relation(schema or "public", bare, kind, made, **more)


def view(name, columns, definition, kind=RelationKind.VIEW):
    return relation(name, columns, kind, definition=definition)


def function(name, body="", language="sql", arguments=0, **more):
    schema, _, bare = name.rpartition(".")
    required = more.pop("required", arguments)
    volatility = more.pop("volatility", "volatile")
    return Function(schema or "public", bare, language, volatility, arguments, required, body=body, **more)


RELATIONS = (
    relation(
        "customers",
        "id name email phone",
        referenced_by=(ForeignKey("public.orders", ("customer_id",), "CASCADE", "NO ACTION"),),
    ),
    relation(
        "orders",
        "id=nextval('orders_id_seq'::regclass) customer_id total status created_at=now()",
        triggers=(Trigger("audit", EVERY_WRITE, "public.audit_row"),),
        referenced_by=(ForeignKey("public.order_items", ("order_id",), "SET NULL", "CASCADE"),),
    ),
    relation("order_items", "order_id product_id quantity"),
    relation("products", "id name price"),
    relation(
        "payments", "id order_id card_number", triggers=(Trigger("export", ("insert",), "public.opaque"),)
    ),
    relation("employees", "id name salary"),
    relation("audit_log", "at what"),
    relation(
        "events", "id at payload", RelationKind.PARTITIONED, children=("public.events_1", "public.events_2")
    ),
    relation("events_1", "id at payload"),
    relation("events_2", "id at payload", triggers=(Trigger("t", ("delete",), "public.wipe_log"),)),
    relation(
        "inbox",
        "id text",
        rules=(
            Trigger(
                "redirect",
                ("insert",),
                "",
                "CREATE RULE redirect AS ON INSERT TO public.inbox DO INSTEAD DELETE FROM public.products",
            ),
        ),
    ),
    relation("stamped", "id at=now()"),
    relation("tickets", "id code=secret_code()"),
    relation("remote", "id value", RelationKind.FOREIGN),
    relation("orders_id_seq", "last_value", RelationKind.SEQUENCE),
    relation("archive.customers", "id name"),
    relation('public."Odd Name"'.replace('"', ""), "id"),
    view("order_totals", "customer_id total", " SELECT customer_id, total FROM public.orders;"),
    view("staff", "name", "SELECT name FROM public.employees WHERE salary > 10"),
    view("staff_of_staff", "name", "SELECT staff.name FROM public.staff"),
    view("broken", "x", "SELECT FROM WHERE"),
    view("noisy", "x", "SELECT public.wipe_log() AS x"),
    view("revenue", "total", "SELECT sum(total) AS total FROM orders", RelationKind.MATERIALIZED),
)
FUNCTIONS = (
    function("add_tax", "SELECT $1 * 1.2", arguments=1, volatility="immutable"),
    function("customer_email", "SELECT email FROM customers WHERE id = $1", arguments=1, volatility="stable"),
    function("wipe_log", "DELETE FROM public.audit_log"),
    function("planned", "SELECT public.wipe_log()", volatility="immutable"),
    function("atomic", "BEGIN ATOMIC DELETE FROM products; SELECT 1; END"),
    function("shout", "begin return upper(x); end", "plpgsql", 1, returns="text"),
    function(
        "cancel_order",
        "declare n int; begin update orders set status = 'x' where id = which; n := 1; return n; end",
        "plpgsql",
        1,
        returns="integer",
    ),
    function("dynamic", "begin execute 'drop table ' || x; end", "plpgsql", 1, returns="void"),
    function("opaque", "", "c", 1, required=0),
    function("python", "plpy.execute('x')", "plpython3u"),
    function("secret_code", "", "c", volatility="stable"),
    function("similar", "", "c", 2, volatility="immutable"),
    function("archive.now", "DELETE FROM public.orders"),
    function(
        "audit_row",
        "BEGIN INSERT INTO audit_log(at, what) VALUES (now(), TG_OP); RETURN NEW; END;",
        "plpgsql",
        returns="trigger",
    ),
    function("bonus", "SELECT 1; DELETE FROM audit_log", arguments=1),
    function("tidy", "begin delete from audit_log; end", "plpgsql", kind="procedure"),
    function("hello", "SELECT 1", kind="procedure"),
)
OPERATORS = (Operator("public", "<~>", "public.opaque"), Operator("public", "%", "public.similar"))


TYPES = (
    Type("public", "mood", TypeKind.ENUM),
    Type("public", "evil_domain", TypeKind.DOMAIN, of="text", checks=("(public.opaque(VALUE) > 0)",)),
)

SHOP = Snapshot(
    version="shop-1",
    database="shop",
    server_version=180000,
    relations=RELATIONS,
    functions=FUNCTIONS,
    operators=OPERATORS,
    roles=("agent", "admin"),
    role="agent",
    types=TYPES,
)


@dataclass(frozen=True)
class Case:
    """One text of a corpus, and the words behind its heading: `-- expect: delete public.orders`."""

    name: str
    heading: str
    sql: str


def cases(folder: str, keyword: str) -> list[Case]:
    """Every text under fixtures/FOLDER: what stands after a line `-- KEYWORD: …`, up to the next."""
    found = []
    for path in sorted((FIXTURES / folder).glob("*.sql")):
        parts = re.split(rf"^-- {keyword}: (.*)\n", path.read_text(), flags=re.MULTILINE)
        for heading, sql in zip(parts[1::2], parts[2::2], strict=True):
            found.append(Case(f"{path.stem}:{len(found)}:{heading[:40]}", heading.strip(), sql.strip()))
    return found


def compact(effect) -> str:
    """An effect in a line: `read public.customers (name) testing (email) via view public.v`."""
    columns = f" ({', '.join(effect.columns)})" if effect.columns else ""
    tested = f" testing ({', '.join(effect.tested)})" if effect.tested else ""
    everything = " of all rows" if effect.unfiltered else ""
    via = f" via {effect.via}" if effect.via else ""
    return f"{effect.kind} {effect.object}{columns}{tested}{everything}{via}"
