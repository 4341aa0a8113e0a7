"""The command line in this process, in a folder of its own, with a real store; or as a process."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from firewall import clock, config, credentials, ids
from firewall.approval import Hold, State
from firewall.cli.main import run
from firewall.desk import Desk
from firewall.keyfile import signing_key
from firewall.store import Store

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(sys.executable).with_name("firewall")
SETTINGS = """\
databases:
  shop:
    host: 127.0.0.1
    port: 1
    user: nobody
    policy: production.yaml
"""
DBA = "first.dba@example.com"
OWNER = "ola@example.com"


@dataclass
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document that was printed."""
        return json.loads(self.out)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Prompt:
    """A folder with settings and a policy, and commands run in it."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Answer:
        self.capture.readouterr()
        code = run(arguments)
        said = self.capture.readouterr()
        return Answer(int(code), said.out, said.err)

    def settings(self) -> config.Settings:
        return config.load(self.folder / "firewall.yaml")

    def in_store(self, work: Any) -> Any:
        """The result of `work(store)`, a coroutine, on the store of the settings."""

        async def go() -> Any:
            settings = self.settings()
            key = signing_key(settings)
            async with await Store.open(settings.store, origin=settings.origin, key=key) as store:
                return await work(store)

        return asyncio.run(go())

    def person(self, name: str = DBA) -> str:
        """A token of this person."""
        return str(self.in_store(lambda store: credentials.add_person(store, name, issuer="operator")))

    def open_hold(self, **changes: Any) -> Hold:
        """A pending hold in the store."""
        hold = replace(a_hold(), **changes)

        def work(store: Store) -> Coroutine[None, None, None]:
            return Desk(store, lambda *_: None).open(hold)

        self.in_store(work)
        return hold

    def hold(self, hold_id: str) -> Hold:
        found = self.in_store(lambda store: store.hold(hold_id))
        assert isinstance(found, Hold)
        return found

    def program(self, *arguments: str, **environment: str) -> Answer:
        """The same, as a process."""
        done = subprocess.run(
            [PROGRAM, *arguments],
            cwd=self.folder,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Answer(done.returncode, done.stdout, done.stderr)


def a_hold() -> Hold:
    """Deletes an order in the name of OWNER's agent; a DBA may decide."""
    now = clock.now()
    return Hold(
        id=ids.hold_id(),
        digest="ab" * 32,
        state=State.PENDING,
        opened_at=now,
        expires_at=now + timedelta(minutes=15),
        session="s-1",
        statement="s-1.1",
        agent="shopper",
        owner=OWNER,
        database="shop",
        environment="production",
        role="app",
        sql="DELETE FROM orders WHERE id = $1",
        parameters=("7",),
        rule="changes of rows wait",
        reasons=("changes of rows wait: rows would change (delete public.orders)",),
        effects=("delete public.orders",),
        labels=(),
        risk="medium",
        groups=("dba",),
        quorum=1,
        requesters=frozenset({"shopper", OWNER}),
        revision="cd" * 32,
    )


@pytest.fixture
def prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Prompt]:
    (tmp_path / "firewall.yaml").write_text(SETTINGS)
    (tmp_path / "production.yaml").write_text((ROOT / "policies/production.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    for name in ("FIREWALL_CONFIG", "FIREWALL_TOKEN", "FIREWALL_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    # a run takes over the process's logs
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield Prompt(tmp_path, capsys)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
