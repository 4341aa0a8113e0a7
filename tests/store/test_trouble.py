"""Stores that cannot be opened or written: a clear error, nothing half-written, and on again when cured."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from firewall import audit
from firewall.errors import StoreError
from firewall.store import Reader, Store

from .conftest import KEY, ORIGIN, Kit

if TYPE_CHECKING:
    from firewall.demo.postgres import EmbeddedPostgres

REPOSITORY = Path(__file__).parents[2]
# appends one record after another for ever, and says how many are durable
APPENDER = """
import asyncio, sys
from firewall import audit, ids
from firewall.store import Store

async def main():
    key = audit.SigningKey("log.test", bytes(range(32)))
    store = await Store.open(sys.argv[1], origin=key.name, key=key)
    done = 0
    async def one():
        nonlocal done
        while True:
            at = "2030-01-01T00:00:00.000000Z"
            record = audit.Fault(id=ids.record_id(), at=at, where="x" * 500, error="y")
            await store.append([record])
            done += 1
            print(done, flush=True)
    await asyncio.gather(*(one() for _ in range(8)))

asyncio.run(main())
"""


async def _refused(url: str, said: str) -> StoreError:
    with pytest.raises(StoreError, match=said) as error:
        await Store.open(url, origin=ORIGIN, key=KEY)
    assert "Traceback" not in error.value.message
    return error.value


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://u:hush@h/d", "sqlite://", "sqlite:///:memory:", "postgresql//x:hush@h"]
)
async def test_other_urls_are_refused_without_showing_them(url: str) -> None:
    error = await _refused(url, "URL of a store|in memory")
    assert "hush" not in error.message + error.hint
    assert "sqlite:///path" in error.hint


async def test_a_file_that_cannot_be_is_named(tmp_path: Path) -> None:
    await _refused(f"sqlite:///{tmp_path}/none/store.db", "cannot be opened: no such file")
    await _refused(f"sqlite:///{tmp_path}", "cannot be opened: is a directory")


async def test_a_store_is_not_made_unless_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with pytest.raises(StoreError, match="there is no store"):
        await Store.open(f"sqlite:///{path}", origin=ORIGIN, key=KEY, create=False)
    with pytest.raises(StoreError, match="there is no store"):
        await Reader.open_reader(f"sqlite:///{path}")
    assert not path.exists()


async def test_a_file_store_is_private(tmp_path: Path) -> None:
    async with await Store.open(f"sqlite:///{tmp_path}/store.db", origin=ORIGIN, key=KEY):
        modes = {path.name: path.stat().st_mode & 0o077 for path in tmp_path.iterdir()}
    assert set(modes.values()) == {0}, modes


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Sir or Madam, " * 100)
    before = path.read_bytes()
    await _refused(f"sqlite:///{path}", "not a SQLite database")
    assert path.read_bytes() == before


async def test_a_damaged_database_is_refused_or_found_damaged(tmp_path: Path, kit: Kit) -> None:
    path = tmp_path / "store.db"
    async with await Store.open(f"sqlite:///{path}", origin=ORIGIN, key=KEY) as store:
        await store.append([kit.judgement() for _ in range(50)])
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))
    await _refused(f"sqlite:///{path}", "damaged")


async def test_an_unreachable_server_is_named_without_its_password(postgres: EmbeddedPostgres) -> None:
    error = await _refused("postgresql://u:hush@127.0.0.1:1/d?sslpassword=hush2", "cannot be reached")
    assert "127.0.0.1:1/d" in error.message
    wrong = postgres.dsn(password="hush")
    error = await _refused(wrong, "password authentication failed")
    assert "hush" not in error.message + error.hint
    error = await _refused(postgres.dsn("no_such_database"), "does not exist")
    assert postgres.password not in error.message


async def _fill(store: Store, kit: Kit) -> int:
    """Append until the store fails; how many were durable by then."""
    for done in range(10_000):
        try:
            await store.append([kit.judgement(sql="x" * 2000)])
        except StoreError as error:
            assert "the disk is full" in error.message  # noqa: PT017 — the loop's end is what is waited for
            return done
    raise AssertionError("the store never filled")


async def test_a_full_disk_stops_everything_until_there_is_room(tmp_path: Path, kit: Kit) -> None:
    async with await Store.open(f"sqlite:///{tmp_path}/store.db", origin=ORIGIN, key=KEY) as store:

        def limit(pages: str) -> object:
            return store._database.transact(
                lambda c: c.execute(text(f"PRAGMA max_page_count={pages}")).scalar()
            )

        await limit("80")
        done = await _fill(store, kit)
        assert done > 0
        # nothing passes, in whatever company
        results = await asyncio.gather(
            *(store.append([kit.judgement(sql="x" * 9000)]) for _ in range(5)), return_exceptions=True
        )
        assert [type(result) for result in results] == [StoreError] * 5
        hold = kit.hold(sql="x" * 9000)
        with pytest.raises(StoreError, match="full"):
            await store.open_hold(hold, [kit.judgement(sql="x" * 9000)])
        assert await store.hold(hold.id) is None
        report = await store.verify([KEY.public])
        assert (report.sound, report.records) == (True, done)
        await limit("1000000")
        await store.append([kit.judgement()])
        assert (await store.verify([KEY.public])).records == done + 1


async def test_a_server_that_restarts_is_found_again(
    postgres: EmbeddedPostgres, database: str, kit: Kit
) -> None:
    async with await Store.open(postgres.dsn(database), origin=ORIGIN, key=KEY) as store:
        await store.append([kit.judgement()])
        # the server ends every connection, as it does when it is restarted
        async with await Reader.open_reader(postgres.dsn(database)) as other:
            await other._database.transact(
                lambda c: c.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                ).all()
            )
        await store.append([kit.judgement()])
        report = await store.verify([KEY.public])
        assert (report.sound, report.records) == (True, 2)


async def test_a_busy_store_says_so_and_goes_on(
    tmp_path: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firewall.store.engine.BUSY_SECONDS", 0)
    url = f"sqlite:///{tmp_path}/store.db"
    async with (
        await Store.open(url, origin=ORIGIN, key=KEY) as store,
        await Store.open(url, origin=ORIGIN, key=KEY) as other,
    ):
        with other._database._writing.begin():
            with pytest.raises(StoreError, match="another process keeps it locked"):
                await store.append([kit.judgement()])
            assert await store.holds() == []
        await store.append([kit.judgement()])
        assert (await store.verify([KEY.public])).records == 1


def _appender(url: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", APPENDER, url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        **options,
    )


@pytest.mark.parametrize("when", [1, 20, 57])
async def test_a_killed_firewall_leaves_a_log_that_verifies(url: str, when: int, kit: Kit) -> None:
    process = _appender(url)
    assert process.stdout is not None
    durable = 0
    for line in process.stdout:
        durable = int(line)
        if durable >= when:
            break
    process.send_signal(signal.SIGKILL)
    # `communicate` would not see what the loop above has read ahead, and begin in the middle of a line
    rest = process.stdout.read()
    process.communicate()
    durable = max([durable, *map(int, rest.split())])
    async with await Store.open(url, origin=ORIGIN, key=KEY) as store:
        report = await store.verify([KEY.public])
        assert report.findings == ()
        # INVARIANT: 5. whatever was said to be durable is there
        assert report.records >= durable >= when
        await store.append([kit.judgement()])
        assert (await store.verify([KEY.public])).sound


async def test_a_firewall_that_meets_its_file_size_limit_leaves_a_log_that_verifies(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    async with await Store.open(url, origin=ORIGIN, key=KEY):
        pass
    limit = 300_000
    process = _appender(url, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    out, err = process.communicate(timeout=60)
    assert "StoreError" in err
    assert "disk" in err
    async with await Store.open(url, origin=ORIGIN, key=KEY) as store:
        report = await store.verify([KEY.public])
        assert report.findings == ()
        assert report.records >= len(out.splitlines()) > 0
        await store.append([audit.Fault(id="r-1", at="2030-01-01T00:00:00.000000Z", where="x", error="y")])
