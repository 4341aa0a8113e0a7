"""The HTTP API and the console: what waits, what was asked, who decided. FastAPI, server-rendered.

Every page and answer goes through `who` (nobody unknown sees anything) and `shield` (headers, bounds). Text
that came from an agent or a person reaches HTML through autoescaped templates only.
"""

from firewall.web.application import create_app
from firewall.web.house import (
    CheckpointPlace,
    Database,
    House,
    Judged,
    Kept,
    Reached,
    Search,
    Status,
    Workers,
)
from firewall.web.roles import EVERY, Role

__all__ = [
    "EVERY",
    "CheckpointPlace",
    "Database",
    "House",
    "Judged",
    "Kept",
    "Reached",
    "Role",
    "Search",
    "Status",
    "Workers",
    "create_app",
]
