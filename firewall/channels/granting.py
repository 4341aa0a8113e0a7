"""Slack's modal for approving more than one run: how long, how often, how many rows. Pure.

An approver may ask for less than the policy lets them grant, never for more; the desk has the last word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firewall.channels import dossier
from firewall.channels.card import notice
from firewall.channels.review import label, modal
from firewall.policy import Terms
from firewall.policy.fields import seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firewall.approval import Hold
    from firewall.channels.card import Json
    from firewall.channels.review import Mark

GRANTED = "firewall_granted"
FOR, USES, ROWS = "grant_for", "grant_uses", "grant_rows"
_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def granting(hold: Hold, mark: Mark) -> Json:
    """The modal, filled in with the most that there is to grant. The hold must have `grants`."""
    most = hold.grants
    assert most is not None
    blocks = [
        *notice(
            f"Approving {hold.id}: {dossier.verb(hold)}. Statements of its shape by the same agent, which "
            "differ in literals only, pass as well, until one of these is used up. Every use is recorded."
        ),
        _field(FOR, f"For how long (at most {lasting(most.seconds)})", lasting(most.seconds)),
        _field(USES, f"How many runs (at most {most.uses})", str(most.uses)),
    ]
    if most.rows is not None:
        blocks.append(_field(ROWS, f"How many rows by all of them (at most {most.rows})", str(most.rows)))
    return {**modal(GRANTED, f"Approve {hold.id}", blocks, mark), "submit": label("Approve")}


def asked(values: Mapping[str, Mapping[str, Json]], most: Terms) -> Terms | dict[str, str]:
    """What was filled in; or what is wrong, by field."""
    wrong: dict[str, str] = {}
    span, uses, rows = 0.0, 0, most.rows
    try:
        span = seconds(_said(values, FOR))
    except ValueError as error:
        wrong[FOR] = str(error).replace("`", "'")
    try:
        uses = _number(_said(values, USES))
    except ValueError:
        wrong[USES] = f"write a number from 1 to {most.uses}"
    if most.rows is not None:
        try:
            rows = _number(_said(values, ROWS))
        except ValueError:
            wrong[ROWS] = f"write a number from 1 to {most.rows}"
    if span > most.seconds:
        wrong[FOR] = f"the policy lets it be granted for at most {lasting(most.seconds)}"
    if uses > most.uses:
        wrong[USES] = f"the policy lets it run at most {most.uses} times"
    if most.rows is not None and rows is not None and rows > most.rows:
        wrong[ROWS] = f"the policy lets it have at most {most.rows} rows"
    return wrong or Terms(span, uses, rows)


def lasting(span: float) -> str:
    """As a policy writes it: `1h30m`."""
    left, said = int(span), ""
    for size, unit in _UNITS:
        number, left = divmod(left, size)
        said += f"{number}{unit}" if number else ""
    return said


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 16 and int(text)):
        raise ValueError
    return int(text)


def _said(values: Mapping[str, Mapping[str, Json]], block: str) -> str:
    return str(values.get(block, {}).get(block, {}).get("value") or "").strip()


def _field(block: str, words: str, most: str) -> Json:
    element = {"type": "plain_text_input", "action_id": block, "initial_value": most, "max_length": 20}
    return {"type": "input", "block_id": block, "element": element, "label": label(words)}
