"""Values that check digits, number plans and syntax tell, and values that they do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall.catalog.labels_values import MATCHERS, matches


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("ada@example.com", "pii.email"),
        ("Ada.Lovelace+x@mail.example.co.uk", "pii.email"),
        ("4111111111111111", "pci.pan"),
        ("4111 1111 1111 1111", "pci.pan"),
        ("5500-0000-0000-0004", "pci.pan"),
        ("DE89370400440532013000", "pii.bank"),
        ("GB82 WEST 1234 5698 7654 32", "pii.bank"),
        ("536-90-4399", "pii.national"),
        ("36574261809", "pii.national"),
        ("12345678Z", "pii.national"),
        ("RSSMRA85T10A562S", "pii.national"),
        ("+49 30 901820", "pii.phone"),
        ("+1-212-555-0123", "pii.phone"),
        ("(212) 736-5000", "pii.phone"),
        ("030 901820", "pii.phone"),
        ("192.168.0.1", "pii.ip"),
        ("2001:db8::1", "pii.ip"),
        ("$2b$12$abcdefghijklmnopqrstuv", "secret"),
        ("md5" + "0" * 32, "secret"),
    ],
)
def test_a_value_fits(value, label):
    found = matches([f" {value} "])
    assert found[label] == 1, found


@pytest.mark.parametrize(
    "value",
    [
        "",
        "7",
        "42.50",
        "4111111111111112",
        "2030-01-01",
        "DE00370400440532013000",
        "a@b",
        "hello world",
        "x" * 400,
    ],
)
def test_a_value_fits_nothing(value):
    assert set(matches([value]).values()) == {0}


@given(st.text() | st.from_regex(r"[0-9+@. -]{1,40}"))
def test_no_value_is_too_strange(value):
    found = matches([value])
    assert found.keys() == MATCHERS.keys()
    assert all(count in {0, 1} for count in found.values())
