"""Searching the log, and proving it with nothing but the public key."""

from __future__ import annotations

import shutil
import sqlite3
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from firewall import audit, clock, ids
from firewall.cli.exits import Exit

from .conftest import OWNER, Prompt

if TYPE_CHECKING:
    from pathlib import Path

    from firewall.store import Store


def judged(sql: str, *, ago: float = 0, **changes: Any) -> audit.Judgement:
    """A judgement of `ago` seconds before now."""
    fields = {
        "id": ids.record_id(),
        "at": clock.stamp(clock.now() - timedelta(seconds=ago)),
        "session": "s-ABC",
        "statement": "s-ABC.1",
        "agent": "shopper",
        "owner": OWNER,
        "database": "shop",
        "environment": "production",
        "role": "app",
        "sql": sql,
        "verdict": "allow",
        "enforced": True,
        "risk": "low",
        "rule": "unlabelled reads flow",
        "reasons": ["unlabelled reads flow: nothing"],
        "effects": [audit.Effect(kind="read", object="public.orders", columns=["id"])],
        "relations": ["public.orders"],
        "revision": "ab",
        "catalog": "cd",
    }
    return audit.Judgement.model_validate(fields | changes)


def write(prompt: Prompt, *records: audit.Record) -> None:
    async def work(store: Store) -> None:
        for record in records:
            await store.append([record])

    prompt.in_store(work)


def damage(folder: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(folder / "firewall.db") as database:
        assert database.execute(statement, values).rowcount > 0


@pytest.fixture
def logged(prompt: Prompt) -> Prompt:
    """Three judged statements and what came of them."""
    outcome = audit.Outcome(
        id=ids.record_id(),
        at=clock.stamp(clock.now()),
        session="s-ABC",
        statement="s-ABC.1",
        agent="shopper",
        tag="SELECT 300",
        rows=300,
        bytes=1,
        micros=1,
    )
    write(
        prompt,
        judged("SELECT id FROM orders", ago=30),
        outcome,
        judged("GRANT ALL ON customers TO PUBLIC", ago=7200 + 60, statement="s-ABC.2", verdict="deny",
               relations=["public.customers"]),
        judged("DELETE FROM orders\n\u202e", ago=20, statement="s-DEF.1", agent="cleaner", verdict="hold"),
    )  # fmt: skip
    return prompt


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ((), ["s-DEF.1", "s-ABC.1", "s-ABC.2"]),
        (("--agent", "cleaner"), ["s-DEF.1"]),
        (("--relation", "orders"), ["s-DEF.1", "s-ABC.1"]),
        (("--relation", "public.customers"), ["s-ABC.2"]),
        (("--verdict", "deny"), ["s-ABC.2"]),
        (("--since", "2h"), ["s-DEF.1", "s-ABC.1"]),
        (("--until", "1h"), ["s-ABC.2"]),
        (("--text", "grant all"), ["s-ABC.2"]),
        (("--limit", "1"), ["s-DEF.1"]),
        (("--agent", "nobody"), []),
    ],
)
def test_search(logged: Prompt, filters: tuple[str, ...], found: list[str]) -> None:
    said = logged("audit", "search", *filters, "--json")
    assert said.code == Exit.DONE
    assert [record["statement"] for record in said.records] == found


def test_what_came_of_it_stands_beside_it(logged: Prompt) -> None:
    record = logged("audit", "search", "--text", "select id", "--json").records[0]
    assert record["outcome"]["rows"] == 300
    assert record["refusal"] is None
    told = logged("audit", "search").out
    assert "SELECT 300" in told
    assert "⟨U+202E⟩" in told
    assert "\u202e" not in told
    assert logged("audit", "search", "--agent", "nobody").out == "nothing was found\n"


def test_a_time_that_is_none(logged: Prompt) -> None:
    said = logged("audit", "search", "--since", "soon")
    assert said.code == Exit.WRONG
    assert "`soon` is no time" in said.err


def test_one_statement_in_full(logged: Prompt) -> None:
    said = logged("audit", "show", "s-abc.1", "--json")
    assert [record["kind"] for record in said.records] == ["judgement", "outcome"]
    told = logged("audit", "show", "s-ABC.1").out
    assert "SELECT id FROM orders" in told
    assert "read public.orders id" in told
    record = said.records[0]["id"]
    assert logged("audit", "show", record, "--json").records == said.records[:1]
    unknown = logged("audit", "show", "s-NONE.1")
    assert unknown.code == Exit.NOT_THERE
    assert "the log has nothing about `s-NONE.1`" in unknown.err


def test_a_sound_log(logged: Prompt) -> None:
    said = logged("audit", "verify")
    assert said.code == Exit.DONE
    document = logged("audit", "verify", "--json").document
    assert document["sound"] is True
    assert document["logs"][0]["origin"] == "query-firewall"
    assert document["logs"][0]["size"] == document["records"] == 4
    assert said.out == f"query-firewall: 4 of 4 records proven, root {document['logs'][0]['root']}: OK\n"


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        (
            "UPDATE records SET bytes = CAST(replace(bytes, 'deny', 'none') AS BLOB) WHERE idx = 2",
            "record 2",
        ),
        (
            "UPDATE records SET private = CAST(replace(private, 'GRANT', 'grant') AS BLOB) WHERE idx = 2",
            "record 2",
        ),
        ("DELETE FROM records WHERE idx = 1", "record 1"),
        ("DELETE FROM records WHERE idx = 3", "record 3"),
        ("UPDATE heads SET note = replace(note, '4', '5')", "signature"),
        ("UPDATE records SET agent = 'other' WHERE idx = 2", "record 2"),
    ],
)
def test_a_log_that_was_changed(logged: Prompt, statement: str, place: str) -> None:
    damage(logged.folder, statement)
    said = logged("audit", "verify")
    assert said.code == Exit.NO
    assert place in said.out
    assert "NOT SOUND" in said.out
    assert "OK" not in said.out
    document = logged("audit", "verify", "--json").document
    assert document["sound"] is False
    assert document["findings"]


def test_a_log_that_is_gone_is_no_sound_log(logged: Prompt) -> None:
    for table in ("records", "heads", "checkpoints"):
        damage(logged.folder, f"DELETE FROM {table}")
    said = logged("audit", "verify")
    assert said.code == Exit.NO
    assert "query-firewall: there is no such log in the store" in said.out
    assert logged("audit", "verify", "--json").document["missing"] == ["query-firewall"]


def test_the_public_key_is_enough(logged: Prompt, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("auditor")
    vkey = logged("audit", "key").out.strip()
    assert logged("audit", "key", "--json").document == {"origin": "query-firewall", "key": vkey}
    assert (logged.folder / "firewall.key.pub").read_text() == f"{vkey}\n"
    with (
        sqlite3.connect(logged.folder / "firewall.db") as source,
        sqlite3.connect(elsewhere / "c.db") as copy,
    ):
        source.backup(copy)
    (logged.folder / "firewall.yaml").unlink()
    url = f"sqlite:///{elsewhere / 'c.db'}"
    unknown = logged("audit", "verify", "--store", url)
    assert unknown.code == Exit.WRONG
    assert "the log's public key is not known" in unknown.err
    assert logged("audit", "verify", "--store", url, "--key", vkey).code == Exit.DONE
    shutil.copy(logged.folder / "firewall.key.pub", elsewhere / "some.pub")
    assert logged("audit", "verify", "--store", url).code == Exit.DONE
    assert logged("audit", "verify", "--store", url, "--key", str(elsewhere / "some.pub")).code == Exit.DONE
    (elsewhere / "some.pub").unlink()
    shutil.copy(logged.folder / "firewall.key", elsewhere / "firewall.key")
    assert logged("audit", "verify", "--store", url).code == Exit.DONE


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("a+b+c", "--key: "),
        ("query-firewall+00000000+AAAA", "--key: "),
        ("absent", "the key file `absent` cannot be read"),
        ("x" * 5000, "cannot be read"),
        ("firewall.db", "cannot be read (it is not text)"),
        ("firewall.yaml", "firewall.yaml: a public key is written"),
    ],
)
def test_a_key_that_is_none(logged: Prompt, key: str, told: str) -> None:
    said = logged("audit", "verify", "--key", key)
    assert said.code == Exit.WRONG
    assert told in said.err


def test_another_logs_key_proves_nothing(logged: Prompt) -> None:
    other = audit.SigningKey.generate("query-firewall").public
    assert logged("audit", "verify", "--key", str(other)).code == Exit.NO
    stranger = audit.SigningKey.generate("elsewhere").public
    assert logged("audit", "verify", "--key", str(stranger)).code == Exit.NO


@pytest.mark.parametrize(
    "url", ["sqlite:///absent.db", "mysql://x", "nonsense", "postgresql://u:hunter2@127.0.0.1:1/d"]
)
def test_a_store_that_cannot_be_read(logged: Prompt, url: str) -> None:
    said = logged("audit", "verify", "--store", url, "--key", logged("audit", "key").out.strip())
    assert said.code == Exit.UNREACHABLE
    assert said.out == ""
    assert "hunter2" not in said.err


def test_no_key_yet(prompt: Prompt) -> None:
    said = prompt("audit", "key")
    assert said.code == Exit.WRONG
    assert "firewall.key: the key file cannot be read" in said.err
