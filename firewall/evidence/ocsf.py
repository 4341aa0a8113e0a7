"""Records as events of the Open Cybersecurity Schema Framework: Datastore Activity, class 6005.

https://schema.ocsf.io/classes/datastore_activity. One event for each record of a session or a statement;
records of people and policies have no database in them, which that class asks for, and are left out.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

from firewall import audit
from firewall.evidence.export import columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from firewall.store.exporting import Exported

SCHEMA = "1.3.0"
CATEGORY, CLASS = 6, 6005
READ, UPDATE, CONNECT, QUERY, WRITE, CREATE, DELETE, OTHER = 1, 2, 3, 4, 5, 6, 7, 99
ACTIVITIES = {
    READ: "Read",
    UPDATE: "Update",
    CONNECT: "Connect",
    QUERY: "Query",
    WRITE: "Write",
    CREATE: "Create",
    DELETE: "Delete",
    OTHER: "Other",
}
SEVERITIES = {1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical"}
STATUSES = {0: "Unknown", 1: "Success", 2: "Failure"}
# the risk of the statement
_RISKS = {"low": 2, "medium": 3, "high": 4, "critical": 5}
# the worst first: what a statement does is what its worst effect does
_EFFECTS = (
    (frozenset({"delete", "truncate", "drop"}), DELETE),
    (frozenset({"create", "alter", "code"}), CREATE),
    (frozenset({"update"}), UPDATE),
    (frozenset({"insert", "copy_in"}), WRITE),
    (frozenset({"role", "privilege", "server_io", "unknown", "execute", "copy_out"}), QUERY),
    (frozenset({"read"}), READ),
)
# Postgres's command tags
_TAGS = {
    **dict.fromkeys(("SELECT", "FETCH", "COPY"), READ),
    **dict.fromkeys(("INSERT", "MERGE"), WRITE),
    "UPDATE": UPDATE,
    **dict.fromkeys(("DELETE", "TRUNCATE", "DROP"), DELETE),
    **dict.fromkeys(("CREATE", "ALTER"), CREATE),
}


class Ocsf:
    """One event a line. `left_out`: how many records of which kinds have no form here."""

    context: ClassVar[bool] = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.left_out: Counter[str] = Counter()

    def write(self, records: Sequence[Exported]) -> None:
        for one in records:
            made = event(one)
            if made is None:
                self.left_out[one.record.kind] += 1
            else:
                self._stream.write(json.dumps(made) + "\n")

    def close(self) -> None:
        """Nothing follows."""


def event(exported: Exported) -> dict[str, Any] | None:
    """The event of a record; None for one that is of no database and no session."""
    record, line = exported.record, columns(exported)
    if not line["database"] or not line["session"]:
        return None
    activity, name = _activity(exported)
    severity = _RISKS.get(line["risk"], 1)
    status = _status(record)
    made: dict[str, Any] = {
        "activity_id": activity,
        "activity_name": name or ACTIVITIES[activity],
        "category_uid": CATEGORY,
        "category_name": "Application Activity",
        "class_uid": CLASS,
        "class_name": "Datastore Activity",
        "type_uid": CLASS * 100 + activity,
        "type_name": f"Datastore Activity: {ACTIVITIES[activity]}",
        "type_id": 1,
        "type": "Database",
        "time": int(datetime.fromisoformat(record.at).timestamp() * 1000),
        "severity_id": severity,
        "severity": SEVERITIES[severity],
        "status_id": status,
        "status": STATUSES[status],
        "metadata": {
            "version": SCHEMA,
            "product": {
                "name": "query-firewall",
                "vendor_name": "query-firewall",
                "version": version("query-firewall"),
            },
            "uid": record.id,
            "event_code": record.kind,
            "correlation_uid": record.statement or record.session,
            "log_name": exported.stored.origin,
            "sequence": exported.stored.index,
            "original_time": record.at,
        },
        "actor": {"user": {"name": line["agent"] or "unknown"}, "session": {"uid": record.session}},
        "src_endpoint": {"ip": line["address"]} if line["address"] else {"uid": record.session},
        "database": {"name": line["database"]},
    }
    if line["sql"]:
        made["query_info"] = {"query_string": line["sql"], "uid": record.statement}
    judged = exported.judgement
    if judged is not None and len(judged.relations) == 1:
        made["table"] = {"name": judged.relations[0]}
    if line["micros"] is not None:
        made["duration"] = line["micros"] // 1000
    said = line["message"] or line["result"]
    made |= {"status_code": line["sqlstate"]} if line["sqlstate"] else {}
    made |= {"status_detail": said} if said else {}
    apart = ("hold", "owner", "environment", "verdict", "rule", "fingerprint", "person", "rows", "bytes")
    made["unmapped"] = {key: line[key] for key in apart if line[key] not in {None, ""}}
    return made


def _activity(exported: Exported) -> tuple[int, str]:
    """What was done, and its name where the class has none."""
    record, judged = exported.record, exported.judgement
    match record:
        case audit.Session():
            return (CONNECT, "") if record.event != "closed" else (OTHER, "Disconnect")
        case audit.Vote() | audit.Decision() | audit.Fault():
            return OTHER, record.kind.capitalize()
        case audit.Outcome() if (word := record.tag.split(" ", 1)[0]) in _TAGS:
            return _TAGS[word], ""
        case _:
            return (_worst(effect.kind for effect in judged.effects), "") if judged else (QUERY, "")


def _worst(kinds: Iterable[str]) -> int:
    found = set(kinds)
    return next((activity for of, activity in _EFFECTS if found & of), QUERY)


def _status(record: audit.Record) -> int:
    match record:
        case audit.Session():
            return 2 if record.event == "refused" else 1
        case audit.Outcome():
            return 2 if record.sqlstate else 1
        case audit.Refusal() | audit.Fault():
            return 2
        case audit.Judgement():
            return {"allow": 1, "deny": 2}.get(record.verdict, 0)
        case audit.Vote() | audit.Release() | audit.Runs():
            return 1
        case audit.Decision():
            return 1 if record.state == "approved" else 2
        case _:
            return 0
