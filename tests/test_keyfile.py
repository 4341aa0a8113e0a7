"""The secret of hashed values: one's own, or one that several firewalls share."""

from __future__ import annotations

import pytest

from firewall import config
from firewall.errors import ConfigurationError
from firewall.keyfile import mask_key


def settings(**more):
    database = {"host": "127.0.0.1", "user": "u", "policy": "policy.yaml"}
    return config.Settings.model_validate({"databases": {"shop": database}, **more})


def test_without_a_file_each_has_its_own():
    first = mask_key(settings(), b"a" * 32)
    assert first == mask_key(settings(), b"a" * 32)
    assert first != mask_key(settings(), b"b" * 32)
    # nobody who has it has the seed
    assert b"a" * 8 not in first


def test_with_a_file_all_have_the_same(tmp_path):
    path = tmp_path / "mask.key"
    path.write_text("0123456789abcdef0123456789abcdef\n")
    keys = {mask_key(settings(mask_key=path), seed) for seed in (b"a" * 32, b"b" * 32)}
    assert len(keys) == 1
    assert keys != {mask_key(settings(), b"a" * 32)}


@pytest.mark.parametrize(("text", "said"), [(None, "cannot be read"), ("short\n", "can be guessed")])
def test_a_file_that_is_no_secret_is_an_error(tmp_path, text, said):
    path = tmp_path / "mask.key"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigurationError, match=said) as caught:
        mask_key(settings(mask_key=path), b"a" * 32)
    assert "openssl rand -hex 32" in str(caught.value)
    assert "short" not in str(caught.value)
