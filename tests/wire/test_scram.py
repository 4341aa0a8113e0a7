"""SCRAM by the RFC's own example, both of its sides against each other, and against hostile messages."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firewall import wire
from firewall.errors import FirewallError, ProtocolViolation
from firewall.wire import scram

SALT = b"0123456789abcdef"
PENCIL = wire.Verifier.of("pencil", SALT)

# RFC 7677, section 3
RFC_SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
RFC_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
RFC_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
RFC_SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
RFC_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
RFC_SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def sign_in(client: wire.ScramClient, server: wire.ScramServer) -> None:
    client.verify(server.final(client.final(server.first(client.first()))))


def violation(step, *arguments) -> ProtocolViolation | None:
    try:
        step(*arguments)
    except ProtocolViolation as found:
        return found
    return None


def test_the_example_of_rfc_7677():
    server = wire.ScramServer(wire.Verifier.of("pencil", RFC_SALT), nonce=RFC_NONCE)
    assert server.first(RFC_FIRST) == RFC_SERVER_FIRST
    assert server.final(RFC_FINAL) == RFC_SERVER_FINAL


@settings(max_examples=25)
@given(st.text(st.characters(), max_size=30), st.binary(min_size=12, max_size=40))
@example("\ud800", b"salt of 12 b")
def test_whoever_knows_the_password_gets_in(password, salt):
    sign_in(wire.ScramClient(password), wire.ScramServer(wire.Verifier.of(password, salt)))


@pytest.mark.parametrize("binding", [None, b"hash of a certificate"])
def test_the_wrong_password_fails(binding):
    client = wire.ScramClient("crayon", mechanisms=wire.offered(binding), binding=binding)
    server = wire.ScramServer(PENCIL, mechanism=client.mechanism, binding=binding)
    final = client.final(server.first(client.first()))
    with pytest.raises(wire.ScramFailed) as caught:
        server.final(final)
    assert caught.value.sqlstate == "28P01"
    with pytest.raises(ProtocolViolation):
        server.final(final)


def test_a_server_that_does_not_know_the_password_is_found_out():
    client, server = wire.ScramClient("pencil"), wire.ScramServer(PENCIL)
    client.final(server.first(client.first()))
    with pytest.raises(wire.ScramFailed, match="did not prove"):
        client.verify(b"v=" + base64.b64encode(bytes(32)))


@pytest.mark.parametrize("message", [b"", b"v=", b"e=other-error", b"v=!", b"\xff", b"v=AAAA," * 2000])
def test_a_malformed_end_is_no_proof(message):
    client, server = wire.ScramClient("pencil"), wire.ScramServer(PENCIL)
    client.final(server.first(client.first()))
    with pytest.raises((wire.ScramFailed, ProtocolViolation)):
        client.verify(message)


@pytest.mark.parametrize("name", ["", "user", "*", "a=2Cb", "=bad escape", "\u0007", "é"])
def test_the_name_inside_is_ignored_but_hashed_as_sent(name):
    first = f"n,,n={name},r=clientnonce"
    server = wire.ScramServer(PENCIL, nonce="servernonce")
    said = server.first(first.encode())
    without_proof = b"c=biws,r=clientnonceservernonce"
    message = ",".join((first[3:], said.decode(), without_proof.decode())).encode()
    key = hashlib.pbkdf2_hmac("sha256", b"pencil", SALT, 4096)
    client_key = scram.keyed(hashlib.sha256, key, b"Client Key")
    signature = scram.keyed(hashlib.sha256, hashlib.sha256(client_key).digest(), message)
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    assert server.final(without_proof + b",p=" + base64.b64encode(proof)).startswith(b"v=")


HOSTILE_FIRST = {
    "empty": (b"", "08P01"),
    "no name": (b"n,,r=abc", "08P01"),
    "no nonce": (b"n,,n=", "08P01"),
    "empty nonce": (b"n,,n=,r=", "08P01"),
    "a nonce not printable": (b"n,,n=,r=a\x01b", "08P01"),
    "authzid": (b"n,a=admin,n=,r=abc", "0A000"),
    "mandatory extension": (b"n,,m=x,n=,r=abc", "08P01"),
    "an unknown flag": (b"q,,n=,r=abc", "08P01"),
    "not UTF-8": (b"n,,n=\xff,r=abc", "08P01"),
    "NUL": (b"n,,n=\0,r=abc", "08P01"),
    "binding under plain SCRAM": (b"p=tls-server-end-point,,n=,r=abc", "08P01"),
    "too long": (b"n,,n=,r=" + b"a" * 5000, "08P01"),
    "ten thousand commas": (b"," * 4000, "08P01"),
}


@pytest.mark.parametrize("case", HOSTILE_FIRST)
@pytest.mark.parametrize("binding", [None, b"hash"])
def test_hostile_first_messages(case, binding):
    message, sqlstate = HOSTILE_FIRST[case]
    server = wire.ScramServer(PENCIL, binding=binding)
    found = violation(server.first, message)
    assert found is not None
    assert found.sqlstate == sqlstate
    assert violation(server.final, RFC_FINAL) is not None, "there is no way on from a refusal"


@given(st.binary(max_size=80) | st.text("nyprcvsime=,+/AZaz0=", max_size=80).map(str.encode))
def test_any_bytes_are_refused_or_answered(data):
    for binding in (None, b"hash"):
        for mechanism in wire.offered(binding):
            violation(wire.ScramServer(PENCIL, mechanism=mechanism, binding=binding).first, data)
            violation(wire.ScramServer(PENCIL, mechanism=mechanism, binding=binding).first, b"n,,n=," + data)
            begun = wire.ScramServer(PENCIL, mechanism=mechanism, binding=binding, nonce="s")
            violation(begun.first, b"p=tls-server-end-point,,n=,r=c" if "PLUS" in mechanism else b"n,,n=,r=c")
            with pytest.raises((wire.ScramFailed, ProtocolViolation)):
                begun.final(data)
    client = wire.ScramClient("pencil")
    client.first()
    violation(client.final, data)


def test_steps_out_of_order_are_violations():
    assert violation(wire.ScramServer(PENCIL).final, RFC_FINAL) is not None
    server = wire.ScramServer(PENCIL)
    server.first(RFC_FIRST)
    assert violation(server.first, RFC_FIRST) is not None
    assert violation(wire.ScramClient("x").final, RFC_SERVER_FIRST) is not None


def test_the_best_mechanism_is_chosen():
    both = wire.offered(b"hash")
    assert both == ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")
    assert wire.ScramClient("x", mechanisms=both, binding=b"hash").mechanism == "SCRAM-SHA-256-PLUS"
    assert wire.ScramClient("x", mechanisms=both).mechanism == "SCRAM-SHA-256"
    assert (
        wire.ScramClient("x", mechanisms=("SCRAM-SHA-1", "X", "SCRAM-SHA-256")).mechanism == "SCRAM-SHA-256"
    )
    found = violation(lambda: wire.ScramClient("x", mechanisms=("SCRAM-SHA-512",)))
    assert found is not None
    assert found.sqlstate == "0A000"


@pytest.mark.parametrize("chosen", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1", "", "x" * 5000])
def test_a_mechanism_not_offered_is_refused(chosen):
    found = violation(lambda: wire.ScramServer(PENCIL, mechanism=chosen))
    assert found is not None
    assert len(found.message) < 200


def test_channel_binding_holds_both_ends_to_one_certificate():
    client = wire.ScramClient("pencil", mechanisms=wire.offered(b"one"), binding=b"one")
    sign_in(client, wire.ScramServer(PENCIL, mechanism=client.mechanism, binding=b"one"))

    client = wire.ScramClient("pencil", mechanisms=wire.offered(b"one"), binding=b"one")
    server = wire.ScramServer(PENCIL, mechanism=client.mechanism, binding=b"another")
    found = violation(server.final, client.final(server.first(client.first())))
    assert found is not None
    assert found.sqlstate == "28000"


def test_an_offer_taken_out_on_the_way_is_noticed():
    stripped = wire.ScramClient("pencil", mechanisms=("SCRAM-SHA-256",), binding=b"one")
    first = stripped.first()
    assert first.startswith(b"y,,")
    found = violation(wire.ScramServer(PENCIL, binding=b"one").first, first)
    assert found is not None
    assert found.sqlstate == "28000"
    sign_in(
        wire.ScramClient("pencil", mechanisms=("SCRAM-SHA-256",), binding=b"one"), wire.ScramServer(PENCIL)
    )
    plain = wire.ScramServer(PENCIL, mechanism=wire.MECHANISM_PLUS, binding=b"one")
    assert violation(plain.first, b"n,,n=,r=abc") is not None


def test_a_doomed_exchange_looks_like_any_other():
    stranger = wire.doomed("nobody", b"secret")
    assert stranger == wire.doomed("nobody", b"secret")
    assert stranger.salt != wire.doomed("nobodi", b"secret").salt != wire.doomed("nobodi", b"other").salt
    assert len({stranger.salt, stranger.stored_key, stranger.server_key}) == 3
    exchanges = []
    for verifier in (PENCIL, stranger):
        client, server = wire.ScramClient("wrong", nonce="c"), wire.ScramServer(verifier, nonce="s")
        said = server.first(client.first())
        with pytest.raises(wire.ScramFailed) as caught:
            server.final(client.final(said))
        exchanges.append((len(said), said.partition(b"s=")[0], said[-7:], str(caught.value)))
    assert exchanges[0] == exchanges[1]


@settings(max_examples=20)
@given(st.text(max_size=20), st.binary(min_size=12, max_size=40))
def test_a_verifier_is_stored_and_read(password, salt):
    verifier = wire.Verifier.of(password, salt)
    assert wire.Verifier.parse(str(verifier)) == verifier


@given(st.text(max_size=60) | st.text("SCRAM-SHA-256$4096:AAAA=", max_size=120))
def test_any_text_is_a_verifier_or_an_error_that_does_not_repeat_it(text):  # INVARIANT: 10
    with pytest.raises(FirewallError, match="SCRAM verifier"):
        wire.Verifier.parse(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [("4096", "1"), ("4096", "99999999999"), ("4096", "9" * 5000), ("4096", "-1"), ("SHA-256", "SHA-1")],
)
def test_a_verifier_that_cannot_be_served_is_refused(old, new):
    with pytest.raises(FirewallError) as caught:
        wire.Verifier.parse(str(PENCIL).replace(old, new, 1))
    assert str(PENCIL).rpartition(":")[2] not in str(caught.value)


def test_a_verifier_does_not_print_itself():  # INVARIANT: 10
    assert repr(PENCIL) == "Verifier(iterations=4096)"


def certificate(key, algorithm) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=1))
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)


def test_what_a_certificate_binds_to():
    curve = ec.generate_private_key(ec.SECP256R1())
    strong, plain = certificate(curve, hashes.SHA384()), certificate(curve, hashes.SHA256())
    assert wire.certificate_binding(strong) == hashlib.sha384(strong).digest()
    assert wire.certificate_binding(plain) == hashlib.sha256(plain).digest()
    rsa_signed = certificate(rsa.generate_private_key(65537, 2048), hashes.SHA512())
    assert wire.certificate_binding(rsa_signed) == hashlib.sha512(rsa_signed).digest()
    assert wire.certificate_binding(certificate(ed25519.Ed25519PrivateKey.generate(), None)) is None
