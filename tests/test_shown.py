"""What views show is followed column by column, once; what cannot be followed shows all that is read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from firewall.policy.labels import Labeller, Ways
from firewall.shown import Shown
from firewall.sql.analyse import analyse
from tests.sql.shop import RELATIONS, SHOP, relation, view

if TYPE_CHECKING:
    from firewall import sql


@dataclass
class Analyst:
    """Analyses at once; counts what it is asked."""

    snapshot: object = SHOP
    asked: list[str] = field(default_factory=list)

    async def analyse(self, text: str, version: str, facts: sql.Facts) -> sql.Analysis:
        self.asked.append(text)
        return analyse(text, self.snapshot, facts)


async def test_a_view_shows_what_its_query_reads() -> None:
    found = await Shown(Analyst()).views(SHOP)
    assert found["public.order_totals"] == {
        "customer_id": (("public.order_totals", "customer_id"), ("public.orders", "customer_id")),
        "total": (("public.order_totals", "total"), ("public.orders", "total")),
    }
    assert ("public.employees", "name") in found["public.staff_of_staff"]["name"]
    assert ("public.employees", "salary") not in found["public.staff_of_staff"]["name"]
    # a materialised view, whose definition leaves a schema out: that is not followed
    assert found["public.revenue"] == {"total": (("public.orders", "*"),)}
    # one that cannot be read shows nothing that is known
    assert found["public.broken"] == {"x": ()}


async def test_a_view_is_analysed_again_only_when_views_change() -> None:
    analyst = Analyst()
    shown = Shown(analyst)
    first = await shown.views(SHOP)
    assert len(analyst.asked) == len(first)
    assert await shown.views(replace(SHOP, version="2")) == first
    assert len(analyst.asked) == len(first)
    more = replace(
        SHOP, relations=(*RELATIONS, view('odd "name"', "a", "SELECT email AS a FROM public.customers"))
    )
    analyst.snapshot = more
    found = await shown.views(more)
    assert analyst.asked[len(first) :] == ['SELECT * FROM "public"."odd ""name"""']
    assert ("public.customers", "email") in found['public.odd "name"']["a"]
    changed = replace(
        more,
        relations=tuple(
            replace(r, definition="SELECT phone AS a FROM public.customers")
            if r.name.startswith("odd")
            else r
            for r in more.relations
        ),
    )
    analyst.snapshot = changed
    found = await shown.views(changed)
    assert ("public.customers", "phone") in found['public.odd "name"']["a"]
    assert ("public.customers", "email") not in found['public.odd "name"']["a"]
    assert await shown.views(replace(SHOP, relations=RELATIONS[:3])) == {}


async def test_labels_follow_generated_columns() -> None:
    table = relation("shouted", "id=nextval('s'::regclass) email Odd=upper(email) twice=(id+1)")
    more = replace(SHOP, relations=(*RELATIONS, table))
    found = await Shown(Analyst(more)).views(more)
    labels = Labeller({"pii.email": ("email",)}).label(more, ways=Ways.of(more, found))
    assert labels.columns["public.shouted"] == {"email": ("pii.email",), "Odd": ("pii.email",)}
