"""What a statement would do and why, for people and programs; and the catalog it is explained by."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from firewall import audit, clock, ids
from firewall.catalog import serial
from firewall.cli.exits import Exit

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from house import LOGIN, LOGIN_PASSWORD, prepare

from .conftest import OWNER, ROOT, Prompt

if TYPE_CHECKING:
    from firewall.demo.postgres import EmbeddedPostgres

KEYS = ["verdict", "risk", "effects", "output_labels", "tested_labels", "opaque", "reasons"]
POLICY = str(ROOT / "policies/production.yaml")


@pytest.fixture(scope="module")
def catalog(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The name of a database with the shop, and a file with its catalog as the command dumps it."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS explained")
        admin.execute("CREATE DATABASE explained")
    prepare(postgres, "explained")
    return "explained", str(tmp_path_factory.mktemp("catalog") / "shop.json")


@pytest.fixture
def shop(prompt: Prompt, postgres: EmbeddedPostgres, catalog: tuple[str, str]) -> Prompt:
    """Settings for that database, and the catalog dumped."""
    database, file = catalog
    (prompt.folder / "password").write_text(LOGIN_PASSWORD)
    (prompt.folder / "firewall.yaml").write_text(
        f"databases:\n  shop: {{host: 127.0.0.1, port: {postgres.port}, database: {database}, user: {LOGIN},"
        " password_file: password, policy: production.yaml}\n"
    )
    if not Path(file).exists():
        assert prompt("catalog", "dump", "-o", file).code == Exit.DONE
    (prompt.folder / "shop.json").write_text(Path(file).read_text())
    return prompt


def lines(monkeypatch: pytest.MonkeyPatch, *texts: dict[str, Any] | str) -> None:
    told = [text if isinstance(text, str) else json.dumps(text) for text in texts]
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in told)))


def test_the_catalog_can_be_read_back(shop: Prompt) -> None:
    said = shop("catalog", "dump", "--database", "shop")
    assert said.code == Exit.DONE
    snapshot = serial.load(said.out)
    assert snapshot.relation("public.customers") is not None
    told = shop("catalog", "dump", "-o", "again.json", "--json").document
    assert told["version"] == snapshot.version
    assert serial.load((shop.folder / "again.json").read_text()) == snapshot


def test_people_get_a_tree(shop: Prompt) -> None:
    said = shop("explain", "SELECT email FROM customers WHERE phone = '1'; DELETE FROM orders")
    assert said.code == Exit.DONE
    for part in (
        "HOLD  high risk",
        "read public.customers (email)  pii.email  testing phone  pii.phone",
        "delete public.orders without WHERE",
        "changes of every row wait: there is no WHERE",
        "email from public.customers.email",
        "to be decided by 1 of dba",
    ):
        assert part in said.out
    assert "\x1b" not in said.out


def test_programs_get_one_line_for_each_text(shop: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    lines(
        monkeypatch,
        {"sql": "SELECT count(*) FROM orders"},
        "",
        {"sql": "SELECT card_number FROM payments WHERE id = 1", "agent": "someone"},
        {"sql": "GRANT ALL ON customers TO PUBLIC"},
    )
    said = shop("explain", "-", "--json", "--catalog", "shop.json", "--policy", POLICY)
    assert said.code == Exit.DONE
    assert [list(record) for record in said.records] == [KEYS] * 3
    count, cards, grant = said.records
    assert (count["verdict"], count["risk"], count["opaque"]) == ("allow", "low", "")
    assert cards == {
        "verdict": "hold",
        "risk": "high",
        "effects": [
            {"kind": "read", "object": "public.payments", "columns": ["card_number"], "labels": ["pci.pan"]}
        ],
        "output_labels": ["pci.pan"],
        "tested_labels": [],
        "opaque": "",
        "reasons": cards["reasons"],
    }
    assert cards["reasons"][0].startswith("cards, pay and secrets wait for security: ")
    assert grant["verdict"] == "deny"


def test_labels_of_written_columns_do_not_reach_the_client(shop: Prompt) -> None:
    said = shop(
        "explain", "UPDATE customers SET email = 'x' WHERE phone = '1'", "--json", "--catalog", "shop.json"
    )
    assert said.document["output_labels"] == []
    assert said.document["tested_labels"] == ["pii.phone"]
    assert "pii.email" in said.document["effects"][-1]["labels"] + said.document["effects"][0]["labels"]


def test_setup_decides_what_names_mean(shop: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    lines(
        monkeypatch,
        {"sql": "EXECUTE p", "setup": ["PREPARE p AS SELECT salary FROM employees"]},
        {"sql": "SELECT count(*) FROM orders", "setup": ["SET search_path = elsewhere", "BEGIN"]},
        {"sql": "SELECT count(*) FROM orders", "setup": ["CREATE TABLE orders (id int)"]},
        {"sql": "EXECUTE p"},
    )
    executed, named, doubtful, absent = shop("explain", "-", "--json", "--catalog", "shop.json").records
    assert executed["output_labels"] == ["hr.salary"]
    assert named["verdict"] == "allow"
    assert doubtful["verdict"] == "hold"
    assert absent["verdict"] == "hold"


def test_text_on_stdin(shop: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 1;\nDROP TABLE orders;\n"))
    said = shop("explain", "--json", "--catalog", "shop.json")
    assert said.document["verdict"] == "hold"
    assert {effect["kind"] for effect in said.document["effects"]} >= {"drop"}


def test_what_postgres_would_reject_says_so(shop: Prompt) -> None:
    said = shop("explain", "SELEC 1", "--json", "--catalog", "shop.json")
    assert "Postgres rejects it: syntax error" in said.document["opaque"]
    assert said.document["verdict"] == "hold"


def test_an_agent_of_the_store_comes_with_its_owner_and_team(shop: Prompt) -> None:
    policy = shop.folder / "production.yaml"
    rule = "\n  - name: not for this team\n    deny: read\n    when: {teams: [bi]}\n    why: said so\n"
    policy.write_text(policy.read_text() + rule)
    shop("agents", "add", "reporter", "--owner", OWNER, "--team", "bi", "--as", "x")
    explain = ("explain", "SELECT id FROM orders", "--json", "--catalog", "shop.json")
    assert shop(*explain, "--agent", "reporter").document["verdict"] == "deny"
    assert shop(*explain, "--agent", "other").document["verdict"] == "allow"
    assert shop(*explain, "--agent", "other", "--team", "bi").document["verdict"] == "deny"


WRONG = [
    ("nonsense", "line 1 of stdin: invalid json"),
    ({"agent": "a"}, "line 1 of stdin: `sql`: field required"),
    ({"sql": "SELECT 1", "setp": []}, "`setp`: extra inputs"),
    ({"sql": 1}, "`sql`"),
    ('["SELECT 1"]', "line 1 of stdin: input should be"),
    ('{"sql": "SELECT 1"', "line 1 of stdin: invalid json"),
    ("[" * 100_000, "line 1 of stdin: invalid json"),
]


@pytest.mark.parametrize(("line", "told"), WRONG[:2])
def test_a_line_that_is_wrong_ends_what_people_read(
    shop: Prompt, monkeypatch: pytest.MonkeyPatch, line: dict[str, Any] | str, told: str
) -> None:
    lines(monkeypatch, line)
    said = shop("explain", "-", "--catalog", "shop.json")
    assert said.code == Exit.WRONG
    assert told in said.err


def test_and_costs_programs_that_line_alone(shop: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    lines(monkeypatch, *(line for line, _ in WRONG), {"sql": "SELECT 1"})
    said = shop("explain", "-", "--json", "--catalog", "shop.json")
    assert said.code == Exit.DONE
    *wrong, right = said.records
    assert right["verdict"] == "allow"
    for number, (record, (_, told)) in enumerate(zip(wrong, WRONG, strict=True), 1):
        assert told.replace("line 1", f"line {number}") in record["error"]
        assert "agent and setup may be left out" in record["hint"]


def test_hostile_texts_are_held(shop: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [
        *("SELECT '\ud800'", "SELECT 1\0; DROP TABLE orders", "SELECT 'x", 'SELECT "x', "SELECT $$x"),
        *("/* SELECT 1", "SELECT " + "(" * 200_000 + "1", "SELECT " + "x" * 2_000_000),
        *("SELECT 1 " + "UNION SELECT 1 " * 100_000, "SELECT 1"),
    ]
    lines(monkeypatch, *({"sql": text} for text in texts))
    *hostile, harmless = shop("explain", "-", "--json", "--catalog", "shop.json").records
    assert harmless["verdict"] == "allow"
    assert len(hostile) == len(texts) - 1
    for record in hostile:
        assert record["verdict"] == "hold"
        assert record["opaque"]
        assert {effect["kind"] for effect in record["effects"]} == {"unknown"}


def test_bytes_that_are_no_text_cost_their_line_alone(shop: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO(b'{"sql": "SELECT \'\xff\'"}\n\xff\n{"sql": "SELECT 1"}')
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(raw, encoding="utf-8"))
    hostile, wrong, harmless = shop("explain", "-", "--json", "--catalog", "shop.json").records
    assert (hostile["verdict"], harmless["verdict"]) == ("hold", "allow")
    assert "line 2 of stdin: invalid json" in wrong["error"]


def test_many_lines_are_answered_in_their_order(shop: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    # every third takes long
    texts = [
        f"SELECT {' + '.join(['id'] * (1 + 100 * (n % 3 == 0)))} AS n{n} FROM orders" for n in range(120)
    ]
    texts += [f"SELECT * FROM absent_{n}" for n in range(80)]
    lines(monkeypatch, *({"sql": text} for text in texts))
    said = shop("explain", "-", "--json", "--catalog", "shop.json").records
    assert len(said) == len(texts)
    assert [f"absent_{n}" in record["opaque"] for n, record in enumerate(said[120:])] == [True] * 80
    assert not any(record["opaque"] for record in said[:120])


def test_wrong_places(prompt: Prompt) -> None:
    (prompt.folder / "bad.json").write_text('{"format": 1, "snapshot": {"version": 3}}')
    for arguments, code, told in (
        (("explain", "SELECT 1", "--catalog", "absent.json"), Exit.WRONG, "`absent.json` cannot be read"),
        (("explain", "SELECT 1", "--catalog", "bad.json"), Exit.WRONG, "bad.json: `snapshot."),
        (("explain", "SELECT 1", "--database", "nowhere"), Exit.NOT_THERE, "no database `nowhere`"),
        (
            ("explain", "SELECT 1"),
            Exit.UNREACHABLE,
            "the catalog of `shop` cannot be read from `127.0.0.1:1`",
        ),
        (("catalog", "dump"), Exit.UNREACHABLE, "`127.0.0.1:1`"),
        (("catalog", "dump", "--database", "nowhere"), Exit.NOT_THERE, "no database `nowhere`"),
    ):
        said = prompt(*arguments)
        assert said.code == code
        assert told in said.err


def test_several_databases_need_a_name(prompt: Prompt) -> None:
    with (prompt.folder / "firewall.yaml").open("a") as settings:
        settings.write("  other: {host: h, user: u, policy: production.yaml}\n")
    said = prompt("catalog", "dump")
    assert said.code == Exit.WRONG
    assert "--database: other, shop" in said.err


def test_nowhere_to_write(shop: Prompt) -> None:
    said = shop("catalog", "dump", "-o", "no/such/folder.json")
    assert said.code == Exit.WRONG
    assert "cannot be written" in said.err


def test_every_rule_says_why_it_speaks_or_not(shop: Prompt) -> None:
    offline = ("--catalog", "shop.json", "--policy", POLICY)
    said = prompt_document(shop, "SELECT email FROM customers", *offline)
    rules = {word["rule"]: word for word in said["rules"]}
    assert rules["labelled reads wait"]["matches"]
    assert rules["unlabelled reads flow"]["missed"] == ["unlabelled"]
    assert rules["exports wait"]["missed"] == ["hold"]
    assert said["arithmetic"][0]["points"] == 2
    assert said["arithmetic"][0]["terms"] == [[0, "read"], [2, "labelled pii.email"]]
    assert said["depends_on"] == []
    told = shop("policy", "explain", "SELECT email FROM customers", *offline).out
    assert "hold  labelled reads wait" in told
    assert "does not match: unlabelled" in told
    assert "0 read + 2 labelled pii.email = 2 (medium)" in told
    brief = shop("policy", "explain", "SELECT email FROM customers", *offline, "--matching").out
    assert "does not match" not in brief


def test_masks_are_shown_column_by_column(shop: Prompt) -> None:
    offline = ("--catalog", "shop.json", "--policy", str(ROOT / "policies/analyst.yaml"))
    said = prompt_document(shop, "SELECT id, email FROM customers", *offline)
    assert said["masked"] == [None, "hash"]
    assert (
        "email from public.customers.email  masked (hash)"
        in shop("explain", "SELECT id, email FROM customers", *offline).out
    )
    export = "COPY (SELECT email FROM customers) TO STDOUT"
    assert prompt_document(shop, export, *offline)["masked"] == ["hash"]
    # it is held, and who approves it should know
    export = f"{export} (ENCODING 'SJIS')"
    assert prompt_document(shop, export, *offline)["masked"] is None
    assert "it would be refused" in shop("explain", export, *offline).out


def prompt_document(shop: Prompt, *arguments: str) -> dict[str, Any]:
    document = shop("policy", "explain", *arguments, "--json").document
    assert isinstance(document, dict)
    return document


def test_a_raised_tier_says_so(shop: Prompt) -> None:
    told = shop("explain", "SELECT salary FROM employees", "--catalog", "shop.json", "--policy", POLICY).out
    assert "= 2 (medium)" in told
    assert "a rule that matches says at least high" in told


def test_the_log_is_judged_anew(shop: Prompt) -> None:
    texts = ["SELECT email FROM customers", "SELECT name FROM products"]
    records = [
        audit.Judgement(
            id=ids.record_id(),
            at=clock.stamp(clock.now()),
            session="s",
            statement=f"s.{number}",
            agent="shopper",
            owner=OWNER,
            database="shop",
            environment="production",
            role="",
            sql=text,
            verdict="allow",
            enforced=True,
            risk="low",
            rule="anything",
            reasons=[],
            effects=[],
            relations=[],
            revision="ab",
            catalog="c",
        )
        for number, text in enumerate(texts)
    ]
    shop.in_store(lambda store: store.append(records))
    said = shop("policy", "replay", "production.yaml", "--catalog", "shop.json")
    assert said.code == Exit.NO
    assert "shopper  allow → hold" in said.out
    assert "was `anything`, would be `labelled reads wait`" in said.out
    assert "2 judgements, 1 would be others" in said.out
    *differences, summary = shop(
        "policy", "replay", "production.yaml", "--catalog", "shop.json", "--json"
    ).records
    assert [(one["before"], one["after"], one["sql"]) for one in differences] == [("allow", "hold", texts[0])]
    assert summary == {
        "judged": 2,
        "changed": 1,
        "same_policy": 0,
        "changes": {"allow → hold": 1},
        "rules": {"labelled reads wait": 1},
    }
    hidden = shop("policy", "replay", "production.yaml", "--catalog", "shop.json", "--show", "0")
    assert "and 1 more" in hidden.out
    later = shop("policy", "replay", "production.yaml", "--catalog", "shop.json", "--since", "2999-01-01")
    assert later.code == Exit.DONE
