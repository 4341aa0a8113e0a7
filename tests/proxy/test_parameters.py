"""What a startup packet may set."""

from __future__ import annotations

import pytest

from firewall.errors import ProtocolViolation
from firewall.proxy import parameters
from firewall.wire import StartupMessage


def settings(*pairs: tuple[str, str]) -> dict[str, str]:
    return parameters.for_upstream(StartupMessage(3, 0, (("user", "a"), ("database", "b"), *pairs)))


def test_harmless_settings_pass_and_the_last_of_a_name_wins() -> None:
    assert settings(("application_name", "x"), ("DateStyle", "ISO"), ("datestyle", "German")) == {
        "application_name": "x",
        "datestyle": "German",
    }


def test_options_are_settings_and_the_packet_beats_them() -> None:
    found = settings(("options", r"-c statement_timeout=1s --search-path=a\ b"), ("statement_timeout", "2s"))
    assert found == {"statement_timeout": "2s", "search_path": "a b"}


@pytest.mark.parametrize(
    "pair",
    [
        ("session_preload_libraries", "evil"),
        ("local_preload_libraries", "evil"),
        ("role", "postgres"),
        ("session_authorization", "postgres"),
        ("standard_conforming_strings", "off"),
        ("backslash_quote", "on"),
        ("row_security", "off"),
        ("options", "-c role=postgres"),
        ("options", "--session_preload_libraries=evil"),
    ],
)
def test_the_rest_is_refused_by_name(pair: tuple[str, str]) -> None:
    with pytest.raises(ProtocolViolation, match="may not be set through query-firewall") as raised:
        settings(pair)
    assert raised.value.sqlstate == "42501"


def test_saying_that_the_lexer_is_as_it_is_passes() -> None:
    found = settings(("options", "-c standard_conforming_strings=ON"), ("backslash_quote", "safe_encoding"))
    assert found == {"standard_conforming_strings": "ON", "backslash_quote": "safe_encoding"}


@pytest.mark.parametrize("switch", ["-e", "-d 5", "-c", "-c role", "postgres"])
def test_other_switches_are_refused(switch: str) -> None:
    with pytest.raises(ProtocolViolation) as raised:
        settings(("options", switch))
    assert raised.value.sqlstate == "42601"


@pytest.mark.parametrize("value", ["true", "database", "on", "1", "yes", "whatever"])
def test_replication_is_refused(value: str) -> None:
    with pytest.raises(ProtocolViolation) as raised:
        settings(("replication", value))
    assert raised.value.sqlstate == "0A000"


@pytest.mark.parametrize("value", ["", "false", "off", "no", "0", "OFF"])
def test_no_replication_is_an_ordinary_connection(value: str) -> None:
    assert settings(("replication", value)) == {}


def test_protocol_extensions_are_no_settings() -> None:
    assert settings(("_pq_.test_protocol_negotiation", "")) == {}


@pytest.mark.parametrize(
    ("value", "schemas"),
    [
        ("public", ("pg_catalog", "public")),
        ('Shop, "Mixed Case"', ("pg_catalog", "shop", "Mixed Case")),
        ("public, pg_catalog", ("public", "pg_catalog")),
        ('"$user", public', None),
        ("$user", None),
        ('"a""b"', None),
        ('a"b', None),
        ("", None),
        ("a,,b", None),
        ("x" * 64, None),
        ("pg_temp, public", None),
    ],
)
def test_search_path(value: str, schemas: tuple[str, ...] | None) -> None:
    assert parameters.search_path(value) == schemas
