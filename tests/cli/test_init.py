"""What `firewall init` writes: complete, valid, and never over something."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from firewall import config, policy, resources
from firewall.cli.exits import Exit
from firewall.cli.init import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel

    from .conftest import Prompt


def keys(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


def test_what_it_writes_loads(prompt: Prompt, tmp_path: Path) -> None:
    said = prompt("init", "new/place")
    assert said.code == Exit.DONE
    settings = config.load(tmp_path / "new/place/firewall.yaml")
    assert settings.databases["app"].password_env == "FIREWALL_DATABASE_PASSWORD"
    assert policy.load(settings.databases["app"].policy).mode is policy.Mode.ENFORCE
    for step in ("cd new/place", "firewall serve", "firewall agents add", "FIREWALL_DATABASE_PASSWORD"):
        assert step in said.out
    test = prompt("--config", "new/place/firewall.yaml", "policy", "test")
    assert test.code == Exit.DONE


def test_every_key_is_there_and_every_comment_loads(tmp_path: Path) -> None:
    text = SETTINGS.read_text()
    models = (config.Settings, config.Database, config.Listen, config.Tls, config.Web, config.Slack)
    models += (config.Records, config.Checkpoints)
    for name in set().union(*map(keys, models)):
        assert re.search(rf"^[# ]*{name}:", text, re.MULTILINE), name
    # all that is commented out, put in, except what excludes what is there
    opened = re.sub(r"^( *)# (?=( *)[a-z_]+:( |$))", r"\1", text, flags=re.MULTILINE)
    opened = re.sub(r"^ *password_file:.*\n", "", opened, flags=re.MULTILINE)
    assert opened != text
    (tmp_path / "firewall.yaml").write_text(opened)
    settings = config.load(tmp_path / "firewall.yaml")
    assert settings.slack is not None
    assert settings.listen.tls is not None
    assert settings.checkpoints.any


def test_values_that_are_commented_out_are_the_defaults() -> None:
    settings = config.Settings.model_fields
    for name in ("catalog_refresh", "analysis_workers", "max_connections", "login_timeout"):
        assert re.search(rf"^# {name}: {settings[name].default} ", SETTINGS.read_text(), re.MULTILINE)


def test_it_never_overwrites(prompt: Prompt, tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/production.yaml").write_text("mine")
    before = (tmp_path / "firewall.yaml").read_text()
    said = prompt("init", "--json")
    assert said.code == Exit.DONE
    assert said.document["written"] == {
        "firewall.yaml": False,
        "policies/production.yaml": False,
        "policies/production.cases.yaml": True,
        "policies/policy.schema.json": True,
    }
    assert (tmp_path / "firewall.yaml").read_text() == before
    assert (tmp_path / "policies/production.yaml").read_text() == "mine"


def test_a_place_that_cannot_be_written(prompt: Prompt, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below", "/proc/nowhere"):
        said = prompt("init", place)
        assert said.code == Exit.WRONG
        assert "error: " in said.err


def test_resources_of_a_checkout() -> None:
    assert (resources.policies() / "production.yaml").is_file()
    assert "CREATE TABLE" in resources.demo_sql()


def test_resources_of_a_wheel(tmp_path: Path, monkeypatch: object) -> None:
    (tmp_path / "data/policies").mkdir(parents=True)
    (tmp_path / "data/demo").mkdir()
    (tmp_path / "data/demo/shop.sql").write_text("SELECT 1")
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path)
    assert resources.policies() == tmp_path / "data/policies"
    assert resources.demo_sql() == "SELECT 1"
