"""The firewall as a process: started, used, decided on from another process, stopped, proven."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from firewall.cli.exits import Exit

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from house import LOGIN, LOGIN_PASSWORD, prepare

from .conftest import DBA, OWNER, PROGRAM, Prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firewall.demo.postgres import EmbeddedPostgres

STARTS_WITHIN = 60


class Served:
    """A running `firewall serve --json`; `told` is what it announced."""

    def __init__(self, folder: Path) -> None:
        self.errors = folder / "serve.err"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [PROGRAM, "serve", "--json"], cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.errors.read_text()
        self.told: dict[str, Any] = json.loads(line)

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)


def settle(prompt: Prompt, postgres: EmbeddedPostgres, database: str) -> None:
    """Settings before this database, on ports that the system chooses."""
    (prompt.folder / "password").write_text(LOGIN_PASSWORD)
    (prompt.folder / "firewall.yaml").write_text(
        f"databases:\n  shop: {{host: 127.0.0.1, port: {postgres.port}, database: {database}, user: {LOGIN},"
        " password_file: password, policy: production.yaml}\n"
        "listen: {port: 0}\nweb: {port: 0}\nanalysis_workers: 1\n"
    )


@pytest.fixture
def served(prompt: Prompt, postgres: EmbeddedPostgres, database: str) -> Iterator[Served]:
    prepare(postgres, database)
    settle(prompt, postgres, database)
    running = Served(prompt.folder)
    yield running
    running.stop()


def test_an_agent_is_held_decided_on_by_another_process_and_all_is_proven(
    prompt: Prompt, served: Served
) -> None:
    assert served.told["dsns"]["shop"] == f"postgresql://AGENT:TOKEN@127.0.0.1:{served.told['port']}/shop"
    assert served.told["url"].startswith("http://127.0.0.1:")
    made = prompt.program("agents", "add", "shopper", "--owner", OWNER, "--as", "operator", "--json").document
    token = prompt.program("people", "token", DBA, "--as", "operator", "--json").document["token"]
    dsn = f"postgresql://shopper:{made['token']}@127.0.0.1:{served.told['port']}/shop"
    notices: Queue[str] = Queue()
    results: Queue[object] = Queue()

    def ask() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.add_notice_handler(lambda d: notices.put(d.message_primary or ""))
            results.put(
                connection.execute("UPDATE orders SET customer_id = customer_id WHERE id = 1").rowcount
            )
            try:
                connection.execute("UPDATE orders SET customer_id = 1 WHERE id = 1")
            except psycopg.Error as error:
                results.put(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    first = notices.get(timeout=STARTS_WITHIN).split("hold ")[1].split(",")[0]
    waiting = prompt.program("holds", "list", "--json").records
    assert [hold["id"] for hold in waiting] == [first]
    said = prompt.program("holds", "approve", first.lower(), FIREWALL_TOKEN=token)
    assert (said.code, said.err) == (Exit.DONE, "")
    assert results.get(timeout=30) == 1
    second = notices.get(timeout=30).split("hold ")[1].split(",")[0]
    said = prompt.program("holds", "deny", second, "--reason", "once is enough", FIREWALL_TOKEN=token)
    assert said.code == Exit.DONE
    refused = results.get(timeout=30)
    assert isinstance(refused, psycopg.Error)
    assert "once is enough" in str(refused)
    asking.join(30)

    found = prompt.program("audit", "search", "--agent", "shopper", "--since", "1h", "--json").records
    assert [record["verdict"] for record in found] == ["hold", "hold"]
    story = prompt.program("audit", "show", first, "--json").records
    assert {"judgement", "hold", "vote", "decision", "release", "outcome"} <= {r["kind"] for r in story}

    assert served.stop() == Exit.DONE
    log = served.errors.read_text()
    for secret in (made["token"], token, LOGIN_PASSWORD, "Traceback"):
        assert secret not in log
    assert prompt.program("audit", "verify").code == Exit.DONE
    index = flip_a_byte(prompt.folder / "firewall.db")
    broken = prompt.program("audit", "verify")
    assert broken.code == Exit.NO
    assert f"record {index} " in broken.out


def flip_a_byte(path: Path) -> int:
    """Change one bit of one record, as whoever can write the disk could; returns its index."""
    with sqlite3.connect(path) as database:
        query = "SELECT idx, bytes FROM records WHERE kind = 'release' LIMIT 1"
        index, data = database.execute(query).fetchone()
        at = data.index(b"hold h-") + 8
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        database.execute("UPDATE records SET bytes = ? WHERE idx = ?", (changed, index))
    return int(index)


def test_interrupting_stops_it_as_well(prompt: Prompt, served: Served) -> None:
    assert served.stop(signal.SIGINT) == Exit.DONE
    # and what it had is free again
    again = Served(prompt.folder)
    assert again.stop() == Exit.DONE


def test_stopping_tells_whoever_waits(prompt: Prompt, served: Served) -> None:
    made = prompt.program("agents", "add", "shopper", "--owner", OWNER, "--as", "operator", "--json").document
    dsn = f"postgresql://shopper:{made['token']}@127.0.0.1:{served.told['port']}/shop"
    notices: Queue[str] = Queue()
    errors: Queue[psycopg.Error] = Queue()

    def ask() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.add_notice_handler(lambda d: notices.put(d.message_primary or ""))
            try:
                connection.execute("DELETE FROM order_items")
            except psycopg.Error as error:
                errors.put(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    notices.get(timeout=STARTS_WITHIN)
    assert served.stop() == Exit.DONE
    assert errors.get(timeout=30)
    asking.join(30)
    assert [hold["state"] for hold in prompt("holds", "list", "--all", "--json").records] == ["withdrawn"]
    assert prompt("audit", "verify").code == Exit.DONE


def test_people_read_where_to_go(prompt: Prompt, postgres: EmbeddedPostgres, database: str) -> None:
    settle(prompt, postgres, database)
    with (prompt.folder / "log").open("w") as errors:
        process = subprocess.Popen(
            [PROGRAM, "serve"], cwd=prompt.folder, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(4)]
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == Exit.DONE
    text = "".join(told)
    for part in (
        "query-firewall 0.",
        "postgresql://AGENT:TOKEN@127.0.0.1:",
        "http://127.0.0.1:",
        "firewall.db",
    ):
        assert part in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        (("hots: 127.0.0.1", "host: 127.0.0.1"), Exit.WRONG, "firewall.yaml:2:"),
        (
            ("port: 1,", "port: {port},"),
            Exit.UNREACHABLE,
            "the catalog of `shop` cannot be read from `127.0.0.1:1`",
        ),
        (("password_file: absent", "password_file: password"), Exit.WRONG, "absent"),
        (("policy: absent.yaml", "policy: production.yaml"), Exit.WRONG, "absent.yaml"),
        (("policy: broken.yaml", "policy: production.yaml"), Exit.WRONG, "broken.yaml:2:"),
        (("user: nobody_here", "user: {login}"), Exit.UNREACHABLE, "nobody_here"),
        (
            ("store: 'sqlite:////no/such/folder/f.db'\nlisten:", "listen:"),
            Exit.UNREACHABLE,
            "/no/such/folder/f.db",
        ),
        (("host: 192.0.2.1, port: 0", "port: 0"), Exit.WRONG, "cannot listen on `192.0.2.1:0`"),
        (("origin: 'two words'\nlisten:", "listen:"), Exit.WRONG, "`origin`: `two words` cannot name a key"),
    ],
)
def test_what_is_wrong_is_said_before_anyone_can_connect(
    prompt: Prompt,
    postgres: EmbeddedPostgres,
    database: str,
    change: tuple[str, str],
    code: Exit,
    told: str,
) -> None:
    prepare(postgres, database)
    settle(prompt, postgres, database)
    (prompt.folder / "broken.yaml").write_text("version: 1\ndefault: allow\nrules: []\n")
    settings = prompt.folder / "firewall.yaml"
    new, old = change
    old = old.format(port=postgres.port, login=LOGIN)
    text = settings.read_text()
    assert old in text
    settings.write_text(text.replace(old, new, 1))
    said = prompt("serve")
    assert (said.code, said.out) == (code, "")
    assert told in said.err
    assert "Traceback" not in said.err
    assert LOGIN_PASSWORD not in said.err


def test_a_signal_while_it_starts(prompt: Prompt, postgres: EmbeddedPostgres, database: str) -> None:
    settle(prompt, postgres, database)
    # a database that takes the connection and never answers
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = (prompt.folder / "firewall.yaml").read_text()
        port = silent.getsockname()[1]
        (prompt.folder / "firewall.yaml").write_text(
            text.replace(f"port: {postgres.port},", f"port: {port},")
        )
        process = subprocess.Popen(
            [PROGRAM, "serve"],
            cwd=prompt.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ,
        )
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (Exit.DONE, b"", b"")


def test_policies_are_read_again(served: Served, prompt: Prompt) -> None:
    path = prompt.folder / "production.yaml"
    good = path.read_text()
    path.write_text(good.replace("default: hold", "default: deny"))
    said = prompt("policy", "reload", "--as", DBA)
    assert said.code == Exit.DONE
    assert "~ default: hold → deny" in said.out
    path.write_text(good.replace("default: hold", "default: maybe"))
    said = prompt("policy", "reload", "--as", DBA)
    assert said.code == Exit.WRONG, "what does not load is not even asked for"
    assert "`maybe` is not known here" in said.err
    # whoever sends a signal is not told: the old one stays, and the log says why
    served.process.send_signal(signal.SIGHUP)
    *_, last = policies_in_force(prompt, 3)
    assert (last["by"], last["changes"]) == ("SIGHUP", [])
    assert "`maybe` is not known here" in last["refused"]
    path.write_text(good)
    served.process.send_signal(signal.SIGHUP)
    *_, last = policies_in_force(prompt, 4)
    assert (last["changes"], last["refused"]) == (["~ default: deny → hold"], "")
    assert served.process.poll() is None


def policies_in_force(prompt: Prompt, number: int) -> list[dict[str, Any]]:
    """The log's word on policies, once there are so many."""
    deadline = time.monotonic() + STARTS_WITHIN
    while True:
        found = prompt.in_store(lambda store: store.policy_records(""))
        if len(found) >= number:
            return [record.model_dump() for record in found]
        assert time.monotonic() < deadline


def test_nobody_answers_where_none_runs(prompt: Prompt, postgres: EmbeddedPostgres, database: str) -> None:
    settle(prompt, postgres, database)
    prompt.in_store(lambda store: store.size())
    said = prompt("policy", "reload", "--as", DBA, "--wait", "0")
    assert said.code == Exit.NO
    assert "no firewall has answered" in said.err
