"""Which columns of a result are masked: by where they come from, or not at all if that is not known."""

from __future__ import annotations

from pathlib import Path

import pytest

from firewall import masking, policy, sql
from firewall.labelling import Labelling, Remembered
from firewall.sql.analyse import analyse
from tests.sql.shop import SHOP

FACTS = sql.Facts(database="shop", role="app")
POLICY = policy.parse(
    "version: 1\ndefault: deny\nlabels: {pii.email: '*email*', pii.phone: phone, pci.pan: card_number}\n"
    "rules:\n  - name: reads\n    allow: any\n    why: w\n"
    "    obligations: {mask: {pii: hash, pci.pan: {last: 4}}}\n",
    Path("p.yaml"),
)
SUBJECT = policy.Subject("a", "o", "shop")


async def masked(text: str) -> list[str] | None:
    """The form of each output column's mask, `-` where there is none."""
    labelling = Labelling(POLICY, Remembered(""))
    await labelling.read(SHOP)
    analysis = analyse(text, SHOP, FACTS)
    effects = labelling.attach(analysis)
    owed = POLICY.evaluate(SUBJECT, effects).obligations
    found = masking.masks(analysis, effects, owed, labelling.labels)
    return None if found is None else [mask.form.value if mask else "-" for mask in found]


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("SELECT id, email FROM customers", ["-", "hash"]),
        ("SELECT email AS id, id AS email FROM customers", ["hash", "-"]),
        ("SELECT lower(email) || '!' FROM customers", ["hash"]),
        ("SELECT count(*), max(email) FROM customers", ["-", "hash"]),
        ("SELECT x FROM (SELECT email AS x FROM customers) AS c", ["hash"]),
        ("WITH c AS (SELECT id, email AS x FROM customers) SELECT x, id FROM c", ["hash", "-"]),
        ("SELECT email FROM customers UNION SELECT name FROM products", ["hash"]),
        ("SELECT id FROM customers WHERE email = 'x'", ["-"]),
        ("SELECT CASE WHEN id > 1 THEN email END FROM customers", ["hash"]),
        ("SELECT card_number FROM payments", ["partial"]),
        ("WITH p AS (SELECT card_number AS n FROM payments) SELECT n FROM p", ["partial"]),
        ("SELECT left(card_number, 4) FROM payments", ["null"]),
        ("SELECT reverse(n), n FROM (SELECT card_number AS n FROM payments) AS p", ["null", "partial"]),
        ("SELECT name FROM products", ["-"]),
        ("SELECT 1", []),
        ("COPY customers TO STDOUT", ["-", "-", "hash", "hash"]),
        ("COPY customers (email, id) TO STDOUT (FORMAT binary)", ["hash", "-"]),
        ("COPY (SELECT lower(email) AS x, id FROM customers) TO STDOUT CSV HEADER", ["hash", "-"]),
        ("DELETE FROM order_items WHERE order_id = 1", []),
    ],
)
async def test_a_column_is_masked_by_where_it_comes_from(text, forms):
    assert await masked(text) == forms


@pytest.mark.parametrize(
    "text",
    [
        "SELECT email FROM customers; SELECT 1",
        "COPY customers (email) TO '/tmp/never'",
        "COPY (SELECT email FROM customers) TO PROGRAM 'cat'",
        "COPY (SELECT email FROM customers) TO STDOUT (FORMAT json)",
        "COPY (SELECT nonsense(email) FROM customers) TO STDOUT",
        "SELECT email FROM",
        "DO $$ BEGIN END $$",
        "SELECT nonsense(email) FROM customers",
    ],
)
async def test_where_it_cannot_be_told_there_is_no_answer(text):
    assert await masked(text) is None


@pytest.mark.parametrize("text", ["SELECT * FROM customers", "SELECT c FROM customers AS c"])
async def test_a_whole_row_is_masked_or_refused(text):
    analysis = analyse(text, SHOP, FACTS)
    found = await masked(text)
    if found is not None:
        assert "hash" in found
        assert len(found) == len(analysis.statements[0].output or ())
