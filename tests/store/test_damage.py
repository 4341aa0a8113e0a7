"""A stored log that somebody changed behind the firewall's back: found, with its place, running or not."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from firewall import audit
from firewall.audit import Flaw
from firewall.errors import StoreError
from firewall.store import Reader, Store

from .conftest import KEY, ORIGIN, Kit

SIZE = 8
OLD_HEAD = "UPDATE heads SET note = (SELECT note FROM checkpoints WHERE size = 5)"
COPIED = "kind, at, session, statement, hold, agent, verdict, text, leaf_hash, bytes, private"
# bytes and leaf hash of record 3 as another record's would be
OTHER = audit.encode(
    audit.Fault(id="r-forged", at="2030-01-01T00:00:00.000000Z", where="nowhere", error="nothing happened")
)


async def _change(store: Reader, *statements: str, **values: object) -> None:
    def work(connection) -> None:
        for statement in statements:
            connection.execute(text(statement), values)

    await store._database.transact(work)


@pytest.fixture
async def ids(store: Store, kit: Kit) -> list[str]:
    """The ids of a log of one record for each commit."""
    records = [kit.judgement() for _ in range(SIZE)]
    for record in records:
        await store.append([record])
    return [record.id for record in records]


def _flipped(data: bytes) -> bytes:
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (["UPDATE records SET bytes = :flipped WHERE idx = 3"], (Flaw.CHANGED, 3, 3)),
        (["UPDATE records SET leaf_hash = :hash WHERE idx = 3"], (Flaw.CHANGED, 3, 3)),
        (["UPDATE records SET id = 'r-else' WHERE idx = 3"], (Flaw.CHANGED, 3, "r-else")),
        (
            ["UPDATE records SET bytes = :other, leaf_hash = :hash, id = 'r-forged' WHERE idx = 3"],
            (Flaw.CHANGED, 3, "r-forged"),
        ),
        (["DELETE FROM records WHERE idx = 3"], (Flaw.MISSING, 3, "")),
        (["UPDATE records SET private = NULL, text = '' WHERE idx = 3"], (Flaw.ERASED, 3, "")),
        (["UPDATE records SET private = :hash, text = '' WHERE idx = 3"], (Flaw.CHANGED, 3, 3)),
        (
            ["UPDATE records SET private = (SELECT private FROM records WHERE idx = 4) WHERE idx = 3"],
            (Flaw.CHANGED, 3, 3),
        ),
        (["DELETE FROM records WHERE idx >= 3"], (Flaw.CUT, 3, "")),
        (["DELETE FROM records"], (Flaw.CUT, 0, "")),
        (
            ["DELETE FROM records WHERE idx = 3", "UPDATE records SET idx = idx - 1 WHERE idx > 3"],
            (Flaw.CHANGED, 3, 4),
        ),
        (
            [
                "UPDATE records SET idx = 100 WHERE idx = 3",
                "UPDATE records SET idx = 3 WHERE idx = 6",
                "UPDATE records SET idx = 6 WHERE idx = 100",
            ],
            (Flaw.CHANGED, 3, 6),
        ),
        (
            [
                f"INSERT INTO records (origin, idx, id, {COPIED}) SELECT origin, 8, 'r-copy', {COPIED} "  # noqa: ISC004 — one statement
                "FROM records WHERE idx = 3"
            ],
            (Flaw.CHANGED, 8, "r-copy"),
        ),
        (["UPDATE heads SET note = replace(note, '8', '7')"], (Flaw.SIGNATURE, 7, "")),
        (
            ["UPDATE checkpoints SET note = replace(note, '— ', '—  ') WHERE size = 5"],
            (Flaw.SIGNATURE, 5, ""),
        ),
        (["DELETE FROM heads", "DELETE FROM checkpoints"], (Flaw.UNSIGNED, 0, "")),
        (
            [
                "DELETE FROM checkpoints WHERE size > 5",
                "UPDATE heads SET size = 5, note = (SELECT note FROM checkpoints WHERE size = 5)",
            ],
            (Flaw.UNSIGNED, 5, 5),
        ),
    ],
)
async def test_a_change_is_found_in_its_place(
    store: Store, ids: list[str], statements: list[str], expected: tuple[Flaw, int, int | str]
) -> None:
    assert (await store.verify([KEY.public])).sound
    rows = [row async for row in store.records()]
    values = {"flipped": _flipped(rows[3].bytes), "other": OTHER, "hash": audit.leaf_hash(OTHER)}
    for statement in statements:
        used = {name: value for name, value in values.items() if f":{name}" in statement}
        await _change(store, statement, **used)
    report = await store.verify([KEY.public])
    flaw, index, record = expected
    first = report.findings[0]
    assert (first.origin, first.flaw, first.index) == (ORIGIN, flaw, index)
    assert first.id == (ids[record] if isinstance(record, int) else record)


@pytest.mark.parametrize(
    ("statement", "column"),
    [
        ("UPDATE records SET verdict = '' WHERE idx = 3", "verdict"),
        ("UPDATE records SET agent = 'other' WHERE idx = 3", "agent"),
        ("UPDATE records SET at = '1999' WHERE idx = 3", "at"),
        ("UPDATE records SET kind = 'fault' WHERE idx = 3", "kind"),
        ("UPDATE records SET text = 'SELECT 1' WHERE idx = 3", "text"),
        ("UPDATE records SET trace = 'x' WHERE idx = 3", "trace"),
        ("UPDATE records SET session = 'x', hold = 'x', statement = 'x' WHERE idx = 3", "session"),
        ("DELETE FROM record_relations WHERE record = :record", "relations"),
        ("UPDATE record_relations SET name = 'x' WHERE record = :record", "relations"),
        ("UPDATE record_relations SET relation = 'x' WHERE record = :record", "relations"),
        ("INSERT INTO record_relations VALUES (:record, 'a.b', 'b', '2030')", "relations"),
        ("UPDATE records SET owner = 'x', database = 'x', rule = 'x' WHERE idx = 3", "rule"),
        ("DELETE FROM record_facets WHERE record = :record", "facets"),
        ("UPDATE record_facets SET at = '2030' WHERE record = :record", "facets"),
        ("INSERT INTO record_facets VALUES (:record, 'label', 'pii', '2030')", "facets"),
    ],
)
async def test_a_record_hidden_from_search_is_found(
    store: Store, ids: list[str], statement: str, column: str
) -> None:
    await _change(store, statement, **({"record": ids[3]} if ":record" in statement else {}))
    (finding,) = (await store.verify([KEY.public])).findings
    assert (finding.flaw, finding.index, finding.id) == (Flaw.CHANGED, 3, ids[3])
    assert f"`{column}`" in finding.message


async def test_a_log_set_back_whole_is_betrayed_by_a_published_head(store: Store, ids: list[str]) -> None:
    published = await store.heads()
    await _change(
        store,
        "DELETE FROM records WHERE idx >= 5",
        "DELETE FROM checkpoints WHERE size > 5",
        "UPDATE heads SET size = 5, note = (SELECT note FROM checkpoints WHERE size = 5)",
    )
    assert (await store.verify([KEY.public])).sound
    report = await store.verify([KEY.public], published=published)
    assert [(f.flaw, f.index) for f in report.findings] == [(Flaw.CUT, 5)]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM heads", "no signed head"),
        ("UPDATE heads SET note = replace(note, '8', '9')", "broken head"),
        (OLD_HEAD, "set back to 5"),
        ("UPDATE heads SET frontier = :frontier", None),
    ],
)
async def test_a_running_firewall_signs_no_forged_tree(
    store: Store, ids: list[str], url: str, kit: Kit, statement: str, said: str | None
) -> None:
    forged = audit.Frontier().extend([audit.leaf_hash(OTHER)] * SIZE).to_bytes()
    await _change(store, statement, **({"frontier": forged} if ":frontier" in statement else {}))
    if said is None:
        # the frontier in memory is the one that was signed
        await store.append([kit.judgement()])
        assert (await store.verify([KEY.public])).sound
        return
    with pytest.raises(StoreError, match=said) as error:
        await store.append([kit.judgement()])
    assert "audit verify" in error.value.hint
    assert len([row async for row in store.records()]) == SIZE


async def test_a_running_firewall_is_not_set_back(store: Store, ids: list[str], kit: Kit) -> None:
    frontier = audit.Frontier().extend([row.leaf_hash async for row in store.records()][:5])
    await _change(
        store,
        "DELETE FROM records WHERE idx >= 5",
        "DELETE FROM checkpoints WHERE size > 5",
        "UPDATE heads SET size = 5, frontier = :frontier, "
        "note = (SELECT note FROM checkpoints WHERE size = 5)",
        frontier=frontier.to_bytes(),
    )
    with pytest.raises(StoreError, match="set back to 5 records from 8"):
        await store.append([kit.judgement()])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DELETE FROM records WHERE idx = 7", "ends after 7 records, but 8 were signed"),
        ("UPDATE records SET idx = 20 WHERE idx = 7", "ends after 21 records, but 8 were signed"),
        (
            f"DELETE FROM checkpoints WHERE size > 5; {OLD_HEAD}",
            "after 8 records, but 5",
        ),
        (
            "UPDATE heads SET frontier = :short; UPDATE records SET leaf_hash = :short WHERE idx = 2",
            "does not match its signed head",
        ),
        ("UPDATE heads SET note = 'x'", "broken head"),
    ],
)
async def test_a_changed_log_is_not_opened(
    store: Store, ids: list[str], url: str, change: str, said: str
) -> None:
    for statement in change.split("; "):
        await _change(store, statement, **({"short": b"\x00" * 9} if ":short" in statement else {}))
    with pytest.raises(StoreError, match=said):
        await Store.open(url, origin=ORIGIN, key=KEY)
    # but it can be looked at
    async with await Reader.open_reader(url) as reader:
        assert not (await reader.verify([KEY.public])).sound


async def test_a_damaged_frontier_is_made_again_from_the_log(
    store: Store, ids: list[str], url: str, kit: Kit
) -> None:
    await _change(store, "UPDATE heads SET frontier = :short", short=b"\x00" * 9)
    async with await Store.open(url, origin=ORIGIN, key=KEY) as again:
        await again.append([kit.judgement()])
        assert (await again.verify([KEY.public])).sound


async def test_a_damaged_row_says_which(store: Store, ids: list[str], kit: Kit) -> None:
    hold = kit.hold()
    await store.open_hold(hold, [])
    await _change(store, "UPDATE records SET bytes = :junk WHERE idx = 2", junk=b"\x00junk")
    await _change(store, "UPDATE holds SET votes = 'junk'")
    with pytest.raises(StoreError, match=f"record `{ids[2]}` is damaged"):
        await store.record(ids[2])
    with pytest.raises(StoreError, match=f"hold `{hold.id}` is damaged"):
        await store.holds()


async def test_another_key_is_refused(store: Store, url: str) -> None:
    with pytest.raises(StoreError, match="begun with another key") as error:
        await Store.open(url, origin=ORIGIN, key=audit.SigningKey.generate(ORIGIN))
    assert "key file" in error.value.hint
    with pytest.raises(StoreError, match=r"`another\.log` is not that of the log `log\.test`"):
        await Store.open(url, origin=ORIGIN, key=audit.SigningKey.generate("another.log"))
