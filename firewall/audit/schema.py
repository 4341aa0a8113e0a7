"""The published JSON Schema of records (draft 2020-12)."""

from __future__ import annotations

from typing import Any

from firewall.audit.records import ADAPTER

TITLE = "A record of the log of query-firewall"


def schema() -> dict[str, Any]:
    """Of records as they are written; `kind` says which."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": TITLE,
        **ADAPTER.json_schema(mode="serialization"),
    }
