"""Pages that stand by themselves: no script, nothing loaded, and they print well."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from firewall.channels import visible


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("firewall.evidence"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # whatever came from outside is shown, and moves nothing
    environment.filters["shown"] = lambda text: visible.visible(str(text))
    return environment


def render(name: str, **content: Any) -> str:
    """The page of this template."""
    return _environment().get_template(name).render(**content)
