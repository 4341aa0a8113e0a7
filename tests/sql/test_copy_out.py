"""What COPY sends: how it is written, or that nobody can tell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from firewall.sql import CopyFormat, CopyOut, Facts
from firewall.sql.analyse import analyse
from tests.sql.shop import SHOP

FACTS = Facts(database="shop", role="app")
EMAILS = "SELECT email FROM customers"
TEXT = CopyOut(EMAILS)
CSV = CopyOut(EMAILS, CopyFormat.CSV, delimiter=",", null="")


def sent(options: str, what: str = f"({EMAILS})") -> CopyOut | None:
    (statement,) = analyse(f"COPY {what} TO STDOUT {options}", SHOP, FACTS).statements
    return statement.copy_out


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("", TEXT),
        ("DELIMITER AS '|'", replace(TEXT, delimiter="|")),
        ("(FORMAT text, HEADER 0, NULL '')", replace(TEXT, null="")),
        ("(HEADER, ENCODING 'utf-8')", replace(TEXT, header=True, encoding="UTF8")),
        ("(ENCODING 'Windows-1252')", replace(TEXT, encoding="WIN1252")),
        ("(FORMAT binary)", replace(TEXT, format=CopyFormat.BINARY)),
        ("CSV", CSV),
        ("CSV HEADER QUOTE AS 'q' FORCE QUOTE *", replace(CSV, header=True, quote="q", escape="q")),
        (
            "(FORMAT csv, ESCAPE 'e', NULL 'n', DELIMITER ';')",
            replace(CSV, escape="e", null="n", delimiter=";"),
        ),
    ],
)
def test_options_are_read_as_postgres_reads_them(options, found):
    assert sent(options) == found


@pytest.mark.parametrize(
    "options",
    [
        "(FORMAT 'json')",
        "(FORMAT 'CSV')",
        "(FORMAT csv, FORMAT text)",
        "(HEADER maybe)",
        "(ENCODING 'sjis')",
        "(ENCODING 'gb18030')",
        "(NULL '\\x')",
        "(NULL 'ä')",
        "(DELIMITER '')",
        "(DELIMITER E'\\n')",
        "(DELIMITER 'n')",
        "(DELIMITER '-', NULL '--')",
        "(FORMAT csv, QUOTE E'\\r')",
        "(FORMAT csv, QUOTE 'ab')",
        "(FORMAT csv, QUOTE ',')",
        "(FORMAT csv, ESCAPE 'é')",
        "(anything)",
    ],
)
def test_where_it_cannot_be_told_nothing_is_said(options):
    assert sent(options) is None


def test_a_table_is_asked_for_its_own_rows_and_columns():
    found = sent("", 'public.customers ("email", id)')
    assert found is not None
    assert found.query == 'SELECT "email", "id" FROM ONLY "public"."customers"'
    whole = sent("", "customers")
    assert whole is not None
    assert whole.query == 'SELECT "id", "name", "email", "phone" FROM ONLY "customers"'


def test_what_is_computed_when_it_is_read_is_not_copied():
    relations = tuple(
        replace(r, columns=tuple(replace(c, generated=c.name == "name") for c in r.columns))
        for r in SHOP.relations
    )
    (statement,) = analyse("COPY customers TO STDOUT", replace(SHOP, relations=relations), FACTS).statements
    assert [output.name for output in statement.output] == ["id", "email", "phone"]


def test_writes_are_copied_too():
    found = sent("", "(DELETE FROM order_items RETURNING order_id)")
    assert found is not None
    assert found.query == "DELETE FROM order_items RETURNING order_id"
