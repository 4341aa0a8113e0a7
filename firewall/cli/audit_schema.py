"""`firewall audit schema`: what records look like, for whoever reads the log with tools of their own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from firewall.audit.schema import schema
from firewall.cli.audit import app
from firewall.cli.command import command

if TYPE_CHECKING:
    from firewall.cli.terminal import Terminal


@command(app, "schema")
def show_schema(terminal: Terminal) -> None:
    """The JSON Schema of every kind of record, as the log, exports and `--json` have them."""
    if terminal.as_json:
        terminal.document(schema())
        return
    terminal.ready(json.dumps(schema(), indent=2))
