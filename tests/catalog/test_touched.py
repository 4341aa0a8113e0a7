"""What a text can reach in the catalog changes its digest; what it cannot does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from firewall.catalog.snapshot import (
    Cast,
    Column,
    EventTrigger,
    ForeignKey,
    Function,
    Operator,
    Trigger,
    Type,
    TypeKind,
)
from firewall.catalog.touched import touched
from tests.sql.shop import SHOP, function, relation, view

DELETE = "DELETE FROM orders WHERE id = 7"


def with_relation(name: str, **fields: object):
    changed = [replace(r, **fields) if r.qualified == name else r for r in SHOP.relations]
    return replace(SHOP, version="2", relations=tuple(changed))


def adding(**members: object):
    more = {name: (*getattr(SHOP, name), thing) for name, thing in members.items()}
    return replace(SHOP, version="2", **more)


@pytest.mark.parametrize(
    "changed",
    [
        replace(SHOP, version="2"),
        with_relation("public.products", comment="what is sold", oid=99),
        with_relation("public.orders", rows=1_000_000.0),
        adding(relations=relation("elsewhere", "a b c")),
        adding(relations=view("totals", "n", "SELECT count(*) FROM orders")),
        adding(functions=function("unrelated", "SELECT 1")),
        adding(types=Type("public", "mood", TypeKind.ENUM)),
        replace(SHOP, version="2", roles=("somebody", "else")),
    ],
)
def test_what_it_cannot_reach_may_change(changed) -> None:
    assert touched(changed, DELETE) == touched(SHOP, DELETE)


@pytest.mark.parametrize(
    "changed",
    [
        with_relation("public.orders", oid=99),
        with_relation("public.orders", columns=(Column("id", "text", 1),)),
        with_relation("public.orders", triggers=()),
        with_relation(
            "public.orders", rules=(Trigger("r", ("delete",), "", "DO ALSO DELETE FROM products"),)
        ),
        # by a cascade
        with_relation("public.order_items", triggers=(Trigger("t", ("delete",), "public.audit_row"),)),
        with_relation(
            "public.orders", referenced_by=(ForeignKey("public.products", ("id",), "CASCADE", "NO ACTION"),)
        ),
        # another one of that name, wherever
        adding(relations=relation("sales.orders", "id")),
        replace(
            SHOP, version="2", functions=tuple(f for f in SHOP.functions if f.qualified != "public.audit_row")
        ),
        # what works without being named
        adding(operators=Operator("public", "=", "public.unrelated")),
        adding(casts=Cast("public.mood", "text", "public.unrelated")),
        adding(event_triggers=EventTrigger("e", "ddl_command_end", "public.unrelated")),
        replace(SHOP, version="2", search_path=("sales", "public")),
        replace(SHOP, version="2", role="another"),
        replace(SHOP, version="2", closed=("public",)),
    ],
)
def test_what_it_can_reach_may_not(changed) -> None:
    assert touched(changed, DELETE) != touched(SHOP, DELETE)


def test_what_is_reached_through_bodies_counts() -> None:
    base = replace(
        SHOP,
        relations=(*SHOP.relations, view("v", "n", "SELECT count_them() AS n")),
        functions=(*SHOP.functions, function("count_them", "SELECT deep(1)"), function("deep", "SELECT $1")),
    )
    text = "SELECT n FROM V"
    body = [replace(f, body="SELECT 2") if f.name == "deep" else f for f in base.functions]
    assert touched(replace(base, functions=tuple(body)), text) != touched(base, text)


@pytest.mark.parametrize(
    "text",
    ['DELETE FROM U&"ord\\0065rs"', f'DELETE FROM "{"o" * 70}"', "SELECT u&\"!006f\" UESCAPE '!' FROM x"],
)
def test_names_that_are_not_read_count_for_everything(text: str) -> None:
    assert touched(SHOP, text) == SHOP.version


def test_a_name_that_postgres_cuts_is_found_all_the_same() -> None:
    long = "o" * 63
    base = adding(relations=relation(long, "a"))
    text = f"DELETE FROM {long}{'x' * 9}"
    assert touched(with_extra(base, long), text) != touched(base, text)


def with_extra(snapshot, name: str):
    changed = [replace(r, oid=77) if r.name == name else r for r in snapshot.relations]
    return replace(snapshot, relations=tuple(changed))


def test_odd_names_are_found_by_a_word_of_theirs_or_always() -> None:
    odd = Function("public", "***", "sql", "volatile", 0, 0, body="SELECT 1")
    base = adding(functions=odd, relations=relation("two words", "a"))
    assert touched(replace(base, functions=(*SHOP.functions, replace(odd, body=""))), DELETE) != touched(
        base, DELETE
    )
    text = 'DELETE FROM "Two words"'
    assert touched(with_extra(base, "two words"), text) != touched(base, text)
