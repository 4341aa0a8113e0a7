"""What a column's name says of its content: a reviewed list of words, in several languages.

Names are taken apart into words first: `KundenEmail`, `kunden_email` and `KUNDEN-EMAIL` are the same. A
phrase is found where its words stand side by side; long ones also inside of a word, as German writes them.
The list proposes and decides nothing; words that mean other things as often (`name`, `nombre`) are left out.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Phrases in English, German, French, Spanish, Italian, Portuguese, Dutch and Polish, without accents. The
# first label that has a phrase in a name gets it, so what is special stands before what is general.
WORDS: Final[dict[str, str]] = {
    "pci.security": """
        cvv cvv2 cvc cvc2 card_security_code security_code pin_block kartenpruefnummer cryptogramme
        codigo_de_seguridad codigo_seguridad
    """,
    "pci.holder": """
        card_holder cardholder name_on_card karteninhaber titulaire_carte titulaire_de_la_carte
        titular_tarjeta titular_de_la_tarjeta intestatario_carta
    """,
    "pci.pan": """
        pan card_number cardnumber card_num card_no cc_number ccnumber credit_card creditcard debit_card
        kartennummer kreditkarte kreditkartennummer numero_carte numero_de_carte carte_bancaire
        carte_de_credit numero_tarjeta numero_de_tarjeta tarjeta_credito tarjeta_de_credito carta_di_credito
        numero_cartao cartao_de_credito creditcardnummer numer_karty
    """,
    "secret": """
        password passwd passphrase pwd secret api_key apikey private_key access_key access_token
        refresh_token auth_token session_token token otp_seed totp_secret passwort kennwort geheimnis
        mot_de_passe mdp motdepasse jeton contrasena clave_secreta clave_privada parola_d_ordine senha
        wachtwoord haslo
    """,
    "pii.email": """
        email e_mail mail emailaddress emailadresse mailadresse courriel adresse_mail correo
        correo_electronico posta_elettronica endereco_de_email
    """,
    "pii.ip": """
        ip ip_address ipaddress ip_addr client_ip remote_addr remote_ip adresse_ip direccion_ip ip_adresse
    """,
    "pii.phone": """
        phone phonenumber phone_number telephone tel mobile mobile_number cell_phone cellphone msisdn fax
        telefon telefonnummer handy handynummer mobilnummer rufnummer telefone telefono numero_de_telephone
        numero_telephone movil celular telefoonnummer
    """,
    "pii.bank": """
        iban bank_account bankaccount account_iban kontonummer bankverbindung bankkonto compte_bancaire
        numero_de_compte cuenta_bancaria numero_de_cuenta conto_corrente rekeningnummer
    """,
    "pii.national": """
        ssn social_security socialsecurity social_security_number national_id nationalid national_insurance
        passport passport_number passport_no tax_id taxid identity_card drivers_license driver_license
        driving_licence sozialversicherungsnummer svnr steuer_id steuerid steuernummer personalausweis
        ausweisnummer reisepass fuehrerschein numero_de_securite_sociale numero_securite_sociale nir
        passeport carte_d_identite dni nif nie pasaporte curp codice_fiscale codicefiscale cpf rg_numero bsn
        burgerservicenummer pesel personnummer
    """,
    "pii.birth": """
        dob birth birthday birthdate birth_date date_of_birth birthplace geburtsdatum geburtstag geburtsort
        geboren_am naissance date_de_naissance date_naissance nacimiento fecha_de_nacimiento
        fecha_nacimiento data_di_nascita data_nascita nascimento geboortedatum data_urodzenia
    """,
    "pii.name": """
        first_name firstname last_name lastname full_name fullname surname forename given_name givenname
        family_name familyname maiden_name middle_name vorname nachname familienname geburtsname prenom
        nom_complet nom_de_famille nom_famille apellido apellidos nombre_completo nome_completo cognome
        sobrenome voornaam achternaam imie nazwisko
    """,
    "pii.address": """
        address street street_name streetname house_number postcode postal_code postalcode zip zipcode
        zip_code adresse anschrift strasse hausnummer postleitzahl plz wohnort rue code_postal codepostal
        direccion domicilio calle codigo_postal indirizzo codice_postale endereco cep straat huisnummer
        adres
    """,
    "hr.salary": """
        salary wage wages bonus compensation payroll base_pay gehalt lohn monatsgehalt jahresgehalt salaire
        remuneration salario sueldo nomina stipendio salaris wynagrodzenie
    """,
    "phi": """
        diagnosis diagnoses icd icd10 icd_code medication prescription blood_type blood_group allergy
        allergies health_insurance patient_id diagnose befund medikament blutgruppe krankenkasse
        krankenversicherung diagnostic groupe_sanguin ordonnance diagnostico grupo_sanguineo medicacion
    """,
}
# a phrase of so many letters is found inside of a longer word, too
MIN_INSIDE: Final = 8
_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_LETTERS: Final = str.maketrans({"ß": "ss", "ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_PHRASES: Final = tuple(
    (label, f"_{phrase}_", phrase.replace("_", ""))
    for label, text in WORDS.items()
    for phrase in text.split()
)


def words(name: str) -> str:
    """A column's name as words with `_` around each: `_kunden_email_`."""
    plain = unicodedata.normalize("NFKD", name.translate(_LETTERS))
    ascii_only = plain.encode("ascii", "ignore").decode()
    return f"_{'_'.join(_PARTS.findall(ascii_only)).lower()}_"


def label_of(name: str) -> str | None:
    """The label that a column of this name may need."""
    told = words(name)
    # `email2` is called after `email`
    whole = re.sub(r"_\d+(?=_)", "", told)
    joined = told.replace("_", "")
    return next(
        (
            label
            for label, phrase, run in _PHRASES
            if phrase in told or phrase in whole or (len(run) >= MIN_INSIDE and run in joined)
        ),
        None,
    )
