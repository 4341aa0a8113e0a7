"""Labels at the command line: what is labelled and why, dropping with a token, proposals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psycopg
import pytest
import yaml

from firewall import audit, clock, ids
from firewall.catalog.labels import COMMENT, Mark
from firewall.cli.exits import Exit

from .conftest import DBA, OWNER, ROOT, Prompt

if TYPE_CHECKING:
    from firewall.demo.postgres import EmbeddedPostgres
    from firewall.store import Store

COPY = Mark(
    "public.copy", "n", "pci.pan", "public.payments.card_number", "s-9.1", "2030-01-01T00:00:00.000000Z"
)
SAID = Mark("public.products", "stock", "secret.stock", COMMENT, "", "2030-01-02T00:00:00.000000Z")


@pytest.fixture
def shop(prompt: Prompt, postgres: EmbeddedPostgres, database: str) -> Prompt:
    """The prompt's settings, pointing at a real shop, and some marks."""
    with psycopg.connect(postgres.dsn(database), autocommit=True) as admin:
        admin.execute((ROOT / "fixtures/demo/shop.sql").read_text())
        admin.execute("CREATE VIEW cards AS SELECT card_number AS shown FROM payments")
        admin.execute("COMMENT ON COLUMN orders.status IS 'where it is [label: phi, not/one]'")
        admin.execute("CREATE TABLE copy (n text)")
    parts = psycopg.conninfo.conninfo_to_dict(postgres.dsn(database))
    (prompt.folder / "password").write_text(str(parts.get("password", "")))
    settings = {
        "host": parts["host"],
        "port": int(parts["port"]),
        "database": database,
        "user": parts["user"],
        "policy": "production.yaml",
        **({"password_file": "password"} if parts.get("password") else {}),
    }
    (prompt.folder / "firewall.yaml").write_text(yaml.safe_dump({"databases": {"shop": settings}}))
    keep(prompt, COPY, SAID)
    return prompt


def keep(prompt: Prompt, *marks: Mark) -> None:
    async def work(store: Store) -> None:
        await store.marks("shop").keep(marks, [])

    prompt.in_store(work)


def marks(prompt: Prompt) -> list[Mark]:
    return list(prompt.in_store(lambda store: store.marked("shop")))


def records(prompt: Prompt, kind: str) -> list[dict[str, object]]:
    async def read(store: Store) -> list[dict[str, object]]:
        return [json.loads(row.opened()) async for row in store.records()]

    return [record for record in prompt.in_store(read) if record["kind"] == kind]


def judged(prompt: Prompt, statement: str, *, owner: str) -> None:
    """The log's word on who copied."""
    record = audit.Judgement(
        id=ids.record_id(),
        at=clock.stamp(clock.now()),
        statement=statement,
        agent="shopper",
        owner=owner,
        database="shop",
        environment="production",
        role="app",
        sql="CREATE TABLE copy AS …",
        verdict="hold",
        enforced=True,
        risk="high",
        rule="r",
        reasons=[],
        effects=[],
        relations=[],
        revision="1",
        catalog="1",
    )
    prompt.in_store(lambda store: store.append([record]))


def test_every_label_is_listed_with_where_it_comes_from(shop: Prompt) -> None:
    said = shop("labels", "list")
    assert said.code == Exit.DONE, said.err
    found = {(r["relation"], r["column"], r["label"]): r for r in shop("labels", "list", "--json").records}
    origins = {key: [(o["kind"], o["what"]) for o in row["from"]] for key, row in found.items()}
    assert origins["public.payments", "card_number", "pci.pan"] == [("policy", "*card_num*")]
    assert origins["public.copy", "n", "pci.pan"] == [("copy", "public.payments.card_number")]
    assert origins["public.cards", "shown", "pci.pan"] == [("view", "public.payments.card_number")]
    assert origins["public.orders", "status", "phi"] == [("comment", "comment")]
    assert origins["public.products", "stock", "secret.stock"] == [("comment", "a comment that is gone")]
    assert "derived from public.payments.card_number by s-9.1 at 2030-01-01T00:00:00" in said.out
    assert "the comment on public.orders.status says `not/one`, which is no label" in said.err


def test_a_label_is_dropped_by_a_person_with_a_reason(shop: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    drop = ("labels", "drop", "public.copy.n", "pci.pan")
    assert shop(*drop).code == Exit.WRONG
    assert shop(*drop, "--reason", " ").code == Exit.WRONG
    assert "no `FIREWALL_TOKEN`" in shop(*drop, "--reason", "test data").err
    monkeypatch.setenv("FIREWALL_TOKEN", "qfp_guessed")
    assert shop(*drop, "--reason", "test data").code == Exit.NO
    monkeypatch.setenv("FIREWALL_TOKEN", shop.person("guest@example.com"))
    assert "is not an approver" in shop(*drop, "--reason", "test data").err
    assert marks(shop) == [COPY, SAID]
    monkeypatch.setenv("FIREWALL_TOKEN", shop.person())
    done = shop(*drop, "--reason", "test data")
    assert done.code == Exit.DONE, done.err
    assert marks(shop) == [SAID]
    [record] = records(shop, "label")
    assert (record["event"], record["by"], record["why"]) == ("dropped", DBA, "test data")
    assert record["labels"] == [
        {"relation": "public.copy", "column": "n", "label": "pci.pan", "source": COPY.source}
    ]
    assert shop(*drop, "--reason", "test data").code == Exit.NOT_THERE


def test_what_a_comment_said_may_come_back(shop: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIREWALL_TOKEN", shop.person())
    said = shop("labels", "drop", "public.products.stock", "secret.stock", "--reason", "it is public")
    assert "change the comment" in said.err
    assert marks(shop) == [COPY]


def test_what_the_policy_says_cannot_be_dropped(shop: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIREWALL_TOKEN", shop.person())
    said = shop("labels", "drop", "public.payments.card_number", "pci.pan", "--reason", "why not")
    assert said.code == Exit.NOT_THERE
    assert "no comment and no copy" in said.err


def test_nobody_drops_what_their_own_agent_copied(shop: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    judged(shop, COPY.statement, owner=DBA)
    monkeypatch.setenv("FIREWALL_TOKEN", shop.person())
    said = shop("labels", "drop", "public.copy.n", "pci.pan", "--reason", "trust me")
    assert said.code == Exit.NO
    assert "your agent" in said.err
    assert COPY in marks(shop)
    monkeypatch.setenv("FIREWALL_TOKEN", shop.person("second.dba@example.com"))
    assert shop("labels", "drop", "public.copy.n", "pci.pan", "--reason", "looked at").code == Exit.DONE


def test_nor_who_issued_its_token(shop: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    shop("agents", "add", "shopper", "--owner", OWNER, "--as", DBA)
    judged(shop, COPY.statement, owner=OWNER)
    monkeypatch.setenv("FIREWALL_TOKEN", shop.person())
    assert shop("labels", "drop", "public.copy.n", "pci.pan", "--reason", "x").code == Exit.NO


def test_suggestions_are_a_policy_and_show_no_value(
    shop: Prompt, postgres: EmbeddedPostgres, database: str
) -> None:
    with psycopg.connect(postgres.dsn(database), autocommit=True) as admin:
        admin.execute("CREATE TABLE fresh (id int, note text, vorname text)")
        admin.execute(
            """INSERT INTO fresh
               SELECT n, 'p' || n || '@secret-place.org', 'Zebulon' FROM generate_series(1, 50) AS n"""
        )
    said = shop("labels", "suggest")
    assert said.code == Exit.DONE, said.err
    assert yaml.safe_load(said.out) == {
        "labels": {"pii.email": ["public.fresh.note"], "pii.name": ["public.fresh.vorname"]}
    }
    assert "100% of 50 values" in said.out
    everything = shop("labels", "suggest", "--all")
    labels = yaml.safe_load(everything.out)["labels"]
    assert labels["pci.pan"] == ["public.payments.card_number"]
    assert "public.customers.email" in labels["pii.email"]
    assert "public.customers.phone" in labels["pii.phone"]
    for output in (said, everything, shop("labels", "suggest", "--json", "--all")):
        assert "secret-place" not in output.out + output.err
        assert "Zebulon" not in output.out + output.err
    rows = {(r["relation"], r["column"]): r for r in shop("labels", "suggest", "--json").records}
    assert rows["public.fresh", "note"]["share"] == 1.0
    assert rows["public.fresh", "vorname"]["by_name"] is True
    names_only = yaml.safe_load(shop("labels", "suggest", "--sample", "0").out)
    assert names_only == {"labels": {"pii.name": ["public.fresh.vorname"]}}


def test_explain_knows_what_was_copied(shop: Prompt) -> None:
    said = shop("explain", "SELECT n FROM copy", "--json").document
    assert said["output_labels"] == ["pci.pan"]
    assert said["verdict"] == "hold"
