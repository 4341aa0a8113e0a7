"""The JSON Schema of a policy file, for editors: completion, explanation, and most mistakes while typing.

It is looser than loading: what patterns, labels and conditions may be is checked when the policy loads.
"""

from __future__ import annotations

import json
from typing import Any, Final

from firewall.policy.document import Document

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
TITLE: Final = "query-firewall policy"


def schema() -> dict[str, Any]:
    """The schema of `Document`, without what editors have no use for."""
    made = Document.model_json_schema(mode="validation", by_alias=True)
    return {"$schema": DIALECT, **_plain(made), "title": TITLE}


def text() -> str:
    """As it stands in `policies/policy.schema.json`."""
    return f"{json.dumps(schema(), indent=2, ensure_ascii=False)}\n"


def _plain(node: Any, *, names: bool = False) -> Any:
    """Titles repeat the keys, and null is a value of no key but a mask. names: the keys are the file's."""
    if isinstance(node, list):
        return [_plain(each) for each in node if each != {"type": "null"}]
    if not isinstance(node, dict):
        return node
    kept = {
        key: _plain(value, names=not names and key in {"properties", "$defs"})
        for key, value in node.items()
        if names or key not in {"title", "default"}
    }
    options = kept.get("anyOf")
    if not names and isinstance(options, list) and len(options) == 1:
        del kept["anyOf"]
        return {**options[0], **kept}
    return kept
