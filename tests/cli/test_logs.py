"""The program's own log: on stderr, readable by machines, and silent about secrets."""

from __future__ import annotations

import json
import logging

import pytest
import structlog

from firewall.cli import logs

SECRETS = ["qfa_abc-DEF_123", "qfp_abc", "PRIVATE+KEY+x+0123+AAAA==", "xoxb-1-2-abc", "xapp-1-A", "hunter2"]


@pytest.mark.usefixtures("prompt")
def test_secrets_are_left_out_wherever_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(logging.INFO)
    for secret in SECRETS:
        said = f"postgresql://user:{secret}@host/db" if secret == "hunter2" else f"got {secret}"
        structlog.get_logger("a").warning(said, value=said, nested={"in": [said]})
        logging.getLogger("b").warning("with %s", said)
    told = capsys.readouterr()
    assert told.out == ""
    for secret in SECRETS:
        assert secret not in told.err
    events = [json.loads(line) for line in told.err.splitlines()]
    assert len(events) == 2 * len(SECRETS)
    assert events[-1]["event"] == "with postgresql://user:(redacted)@host/db"
    assert {"timestamp", "level", "logger"} <= events[0].keys()


@pytest.mark.usefixtures("prompt")
def test_an_exception_is_its_type_and_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        try:
            int("value of a customer")
        except ValueError:
            structlog.get_logger("a").exception("it failed")

    logs.configure(logging.INFO)
    fail()
    event = json.loads(capsys.readouterr().err)
    assert (event["event"], event["error"]) == ("it failed", "ValueError")
    assert "test_logs.py:" in event["at"]
    assert "customer" not in json.dumps(event)
    monkeypatch.setenv(logs.DEBUG, "1")
    fail()
    assert "value of a customer" in capsys.readouterr().err


@pytest.mark.usefixtures("prompt")
def test_a_command_that_is_no_server_says_only_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(logs.QUIET)
    structlog.get_logger("a").info("all is well")
    assert capsys.readouterr().err == ""
