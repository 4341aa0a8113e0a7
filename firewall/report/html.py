"""The report as one HTML page: no script, nothing fetched, and fit to print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from firewall.channels import visible
from firewall.report import trends
from firewall.report.exceptions import exceptions
from firewall.report.words import ABOUT, FIRST, GROUPS, headline, period, tables

if TYPE_CHECKING:
    from firewall.report.model import Report

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["shown"] = lambda value: visible.line(f"{value:,}" if isinstance(value, int) else value)


def html(report: Report) -> str:
    """The page. Everything from outside is escaped, and written out where it would not be seen."""
    return _ENVIRONMENT.get_template("report.html").render(
        report=report,
        facts=report.facts,
        figures=report.figures,
        period=period(report),
        headline=headline(report),
        tables=tables(report.figures),
        charts=trends.charts(report),
        exceptions=exceptions(report.figures),
        size={"width": trends.WIDTH, "height": trends.HEIGHT, "left": trends.LEFT, "floor": trends.FLOOR},
        first=FIRST,
        groups=GROUPS,
        about=ABOUT,
    )
