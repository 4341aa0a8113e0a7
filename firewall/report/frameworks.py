"""The frameworks as data: the controls that the log has evidence for, and what that evidence leaves open.

Only controls are here that the firewall itself carries out or records. `short` is for the auditor: what must
be shown by other means. Control titles are paraphrased; the frameworks' own texts count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Control:
    """facts: keys of `facts.py` whose figures are the evidence."""

    id: str
    title: str
    how: str
    facts: tuple[str, ...]
    short: str


@dataclass(frozen=True, slots=True)
class Framework:
    """A set of controls, by the name of the standard that they are from."""

    key: str
    name: str
    edition: str
    controls: tuple[Control, ...]


_ACCESS = (
    "Every statement of an agent is analysed and judged by policy before it reaches the database; "
    "what no rule "
    "allows is held for a person or denied."
)
_ACCESS_SHORT = "Connections that do not pass the firewall; privileges of the database's own roles."
_VERDICTS = ("statements", "allowed", "held", "denied")
_LIFE = (
    "Agents and approvers have credentials of their own. Issue, reissue, disabling and enabling are records "
    "with the name of whoever did it."
)
_LIFE_FACTS = ("issued", "revoked", "enabled")
_LIFE_SHORT = "The periodic review of who has access; people in the identity provider."
_DUTIES = (
    "Nobody decides on a statement they asked for, or whose agent's credential they issued; rules "
    "may ask for "
    "several people and teams. Refused votes and break-glass approvals are recorded."
)
_DUTIES_FACTS = ("approved", "rejected", "deciders", "uncounted", "break_glass")
_DUTIES_SHORT = "Whether the groups in the policy are the right people."
_CHANGE = (
    "A policy comes into force with its revision, its differences and who asked for it; policies that do not "
    "pass their checks are refused. Statements that change the schema can be held for approval."
)
_CHANGE_FACTS = ("policies", "policies_refused", "approved", "rejected")
_CHANGE_SHORT = "Review of the policy before it is rolled out, where its file is kept."
_WATCH_HOW = (
    "Verdicts, refusals, failed sign-ins and faults are recorded as they happen; this report and the console "
    "show them by day and by rule."
)
_WATCH_FACTS = ("denied", "sessions_refused", "sign_ins_failed", "faults", "watch")
_WATCH_SHORT = "Activity in the database that does not pass the firewall, unless the bypass watch is on."
_LOG = (
    "Every session, verdict, decision, release and outcome is a record in an append-only Merkle tree "
    "with a signed head for every commit; the release is durable before the statement runs."
)
_LOG_FACTS = ("records", "statements", "sessions", "silence")
_LOG_SHORT = "Retention of the store itself: backups and access to its files."
_PROTECT = (
    "Each head is signed with Ed25519; any change, loss or reordering of records is found with the "
    "public key "
    "alone. Checkpoints can be published where the operator cannot take them back."
)
_PROTECT_FACTS = ("published", "unpublished", "erased")
_PROTECT_SHORT = "A log cut back with its heads, unless checkpoints are kept elsewhere and compared."
_MASK = (
    "Policy masks columns by label before rows reach the agent; the release names the columns and the form."
)
_MASK_FACTS = ("masked", "labelled_reads")
_MASK_SHORT = "Whether every column with personal data has its label."

SOC2 = Framework(
    "soc2",
    "SOC 2",
    "Trust Services Criteria 2017, revised points of focus 2022",
    (
        Control("CC6.1", "Logical access security", _ACCESS, (*_VERDICTS, "agents"), _ACCESS_SHORT),
        Control(
            "CC6.3",
            "Access by role, least privilege, segregation of duties",
            f"{_DUTIES} {_LIFE}",
            (*_DUTIES_FACTS, *_LIFE_FACTS),
            f"{_DUTIES_SHORT} {_LIFE_SHORT}",
        ),
        Control(
            "CC6.6",
            "Protection against threats from outside the boundary",
            "Agents have the firewall's credentials and never the database's; sessions with wrong "
            "or disabled ones are "
            "refused and recorded.",
            ("sessions", "sessions_refused", "denied", "sign_ins_failed"),
            "Network rules that leave the firewall as the only way to the database.",
        ),
        Control("CC7.2", "Monitoring for anomalies", _WATCH_HOW, _WATCH_FACTS, _WATCH_SHORT),
        Control(
            "CC7.3",
            "Evaluation of security events",
            "Held statements are brought to people with what they would do; who decided, why, and "
            "how long it took "
            "is recorded.",
            ("holds", "approved", "rejected", "expired", "decision_median", "decision_p90"),
            "Follow-up of events outside the firewall: tickets, incident reports.",
        ),
        Control("CC8.1", "Change management", _CHANGE, _CHANGE_FACTS, _CHANGE_SHORT),
    ),
)

ISO27001 = Framework(
    "iso27001",
    "ISO/IEC 27001",
    "2022, Annex A",
    (
        Control("A.5.3", "Segregation of duties", _DUTIES, _DUTIES_FACTS, _DUTIES_SHORT),
        Control("A.5.15", "Access control", _ACCESS, _VERDICTS, _ACCESS_SHORT),
        Control("A.5.18", "Access rights", _LIFE, (*_LIFE_FACTS, "grants", "grants_revoked"), _LIFE_SHORT),
        Control(
            "A.8.2",
            "Privileged access rights",
            "Risky statements wait for people with the right to decide; leave beyond one run is a "
            "grant with an end, "
            "and break-glass is an exception that is listed.",
            ("held", "approved", "grants", "grants_revoked", "break_glass"),
            "Privileged access of people who connect to the database directly.",
        ),
        Control(
            "A.8.3", "Information access restriction", _ACCESS, (*_VERDICTS, "labelled_reads"), _ACCESS_SHORT
        ),
        Control("A.8.11", "Data masking", _MASK, _MASK_FACTS, _MASK_SHORT),
        Control(
            "A.8.12",
            "Data leakage prevention",
            "Lineage of every output column is followed to labelled columns; policy decides by "
            "label, limits rows and "
            "keeps budgets.",
            ("labelled_reads", "masked", "held", "denied"),
            "What agents do with the data that they were allowed to read.",
        ),
        Control("A.8.15", "Logging", f"{_LOG} {_PROTECT}", (*_LOG_FACTS, *_PROTECT_FACTS), _LOG_SHORT),
        Control("A.8.16", "Monitoring activities", _WATCH_HOW, _WATCH_FACTS, _WATCH_SHORT),
        Control("A.8.32", "Change management", _CHANGE, _CHANGE_FACTS, _CHANGE_SHORT),
    ),
)

FEDRAMP = Framework(
    "fedramp",
    "FedRAMP",
    "NIST SP 800-53 Rev. 5",
    (
        Control("AC-2", "Account management", _LIFE, _LIFE_FACTS, _LIFE_SHORT),
        Control("AC-3", "Access enforcement", _ACCESS, (*_VERDICTS, "observed"), _ACCESS_SHORT),
        Control("AC-5", "Separation of duties", _DUTIES, _DUTIES_FACTS, _DUTIES_SHORT),
        Control(
            "AC-6",
            "Least privilege",
            "Policy names what each agent may do; everything else is held or denied. Grants have an "
            "end and a number "
            "of uses.",
            ("allowed", "held", "denied", "grants", "grants_revoked"),
            "Privileges of the database role that the firewall itself uses.",
        ),
        Control(
            "AU-2",
            "Event logging",
            "The kinds of events are fixed and published as a JSON Schema (`firewall audit schema`).",
            ("records", "sessions", "statements", "holds", "policies", "issued", "sign_ins"),
            "The organisation's own choice of events, and its review.",
        ),
        Control(
            "AU-3",
            "Content of audit records",
            "Each record says what, when (UTC, microseconds), where (database, session), source "
            "(agent, address), "
            "outcome, and who decided.",
            ("records", "statements", "failed", "rows"),
            "Who stands behind an agent, beyond its owner on record.",
        ),
        Control(
            "AU-6",
            "Audit record review, analysis and reporting",
            "This report, the search of the console and of `firewall audit search`, and exports.",
            ("denied", "observed", "break_glass", "faults", "watch"),
            "That somebody reads them at the frequency that the organisation has set.",
        ),
        Control("AU-9", "Protection of audit information", _PROTECT, _PROTECT_FACTS, _PROTECT_SHORT),
        Control(
            "AU-10",
            "Non-repudiation",
            "Votes and decisions carry the person's name and channel and are part of the signed "
            "tree; each can be "
            "proven by itself (`firewall audit prove`).",
            ("approved", "rejected", "deciders", "records"),
            "The strength of the sign-in at Slack or the identity provider.",
        ),
        Control("AU-12", "Audit record generation", _LOG, _LOG_FACTS, _LOG_SHORT),
        Control("CM-3", "Configuration change control", _CHANGE, _CHANGE_FACTS, _CHANGE_SHORT),
        Control("SI-4", "System monitoring", _WATCH_HOW, _WATCH_FACTS, _WATCH_SHORT),
    ),
)

FRAMEWORKS: Mapping[str, Framework] = {one.key: one for one in (SOC2, ISO27001, FEDRAMP)}
