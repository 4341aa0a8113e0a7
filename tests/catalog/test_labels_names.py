"""Names in several languages and spellings, and names that only look like them."""

from __future__ import annotations

import pytest

from firewall.catalog.labels import LABEL
from firewall.catalog.labels_names import WORDS, label_of


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("email", "pii.email"),
        ("E-Mail", "pii.email"),
        ("email2", "pii.email"),
        ("contact_email_1", "pii.email"),
        ("customerEmail", "pii.email"),
        ("KundenEmail", "pii.email"),
        ("courriel", "pii.email"),
        ("correo_electrónico", "pii.email"),
        ("email_address", "pii.email"),
        ("ip_address", "pii.ip"),
        ("billing_address", "pii.address"),
        ("Straße", "pii.address"),
        ("PLZ", "pii.address"),
        ("dirección", "pii.address"),
        ("phone", "pii.phone"),
        ("Mobilnummer", "pii.phone"),
        ("teléfono", "pii.phone"),
        ("firstName", "pii.name"),
        ("Nachname", "pii.name"),
        ("prénom", "pii.name"),
        ("apellidos", "pii.name"),
        ("kundengeburtsdatum", "pii.birth"),
        ("date_de_naissance", "pii.birth"),
        ("fecha_nacimiento", "pii.birth"),
        ("ssn", "pii.national"),
        ("codice_fiscale", "pii.national"),
        ("IBAN", "pii.bank"),
        ("Kontonummer", "pii.bank"),
        ("card_number", "pci.pan"),
        ("CardNumber", "pci.pan"),
        ("numéro_de_carte", "pci.pan"),
        ("card_holder", "pci.holder"),
        ("cvv", "pci.security"),
        ("Gehalt", "hr.salary"),
        ("salaire", "hr.salary"),
        ("password_hash", "secret"),
        ("Passwort", "secret"),
        ("mot_de_passe", "secret"),
        ("contraseña", "secret"),
        ("Diagnose", "phi"),
        # these only look like it
        ("id", None),
        ("name", None),
        ("automobile", None),
        ("mailing_list_size", None),
        ("company", None),
        ("panel", None),
        ("hotel", None),
        ("tokenizer", None),
        ("zipped", None),
        ("description", None),
        ("", None),
        ("日本", None),
    ],
)
def test_a_name_says(name, label):
    assert label_of(name) == label


def test_the_list_has_labels_that_a_policy_may_write_and_no_phrase_twice():
    assert all(LABEL.fullmatch(label) for label in WORDS)
    phrases = [phrase for text in WORDS.values() for phrase in text.split()]
    assert len(phrases) == len(set(phrases))
    assert all(phrase.isascii() and phrase == phrase.lower() for phrase in phrases)
