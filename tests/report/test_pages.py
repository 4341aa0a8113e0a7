"""HTML, PDF and JSON of one report."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

from markupsafe import escape

from firewall import audit
from firewall.report import Figures, Proof, document
from firewall.report.figures import MAX_LISTED
from firewall.report.html import html
from firewall.report.pdf import pdf

from .conftest import made_log

if TYPE_CHECKING:
    from firewall.report import Report


def texts(page: bytes) -> str:
    """What a PDF's streams draw, page after page."""
    streams = re.findall(rb"stream\n(.*?)\nendstream", page, re.DOTALL)
    drawn = b"".join(zlib.decompress(stream) for stream in streams)
    return " ".join(one.decode("latin-1") for one in re.findall(rb"\(((?:\\.|[^\\()])*)\) Tj", drawn))


def test_the_page_has_every_control_and_figure_and_fetches_nothing(report: Report):
    page = html(report)
    for control in report.framework.controls:
        assert f'<span class="id">{control.id}</span>' in page
        assert str(escape(control.how)) in page
    for fact in report.facts.values():
        assert str(escape(fact.name)) in page
    assert page.count("<svg") == 3
    assert report.heads[0].root in page
    assert not re.search(r"<script|\bsrc=|\bhref=|url\(|@import|\bon\w+=", page)


def test_what_comes_from_outside_is_text(report: Report):
    page = html(report)
    assert "<b>outage" not in page
    assert "&lt;b&gt;outage&lt;/b&gt;⟨U+202E⟩" in page
    assert "no &lt;drops&gt;" in page
    assert "secret_literal" not in page


def test_exceptions_are_listed_with_their_records(report: Report):
    told = {one["key"]: one for one in document(report)["exceptions"]}
    assert {key: one["total"] for key, one in told.items() if one["total"]} == {
        "break_glass": 1,
        "observed": 1,
        "faults": 1,
        "erased": 1,
        "policies_refused": 1,
    }
    assert told["break_glass"]["listed"][0]["record"] == "r-17"
    assert "r-17" in html(report)
    assert "no records of a bypass watch" in told["bypass"]["note"]


def test_the_pdf_has_text_on_every_page(report: Report):
    made = pdf(report)
    assert made.startswith(b"%PDF-")
    assert made.rstrip().endswith(b"%%EOF")
    drawn = texts(made)
    for control in report.framework.controls:
        assert control.id in drawn
    assert "eve" in drawn
    pages = int(re.search(rb"/Count (\d+)", made)[1])
    assert pages > 1
    assert drawn.count(f": {report.proof.value}") >= pages - 1


def test_a_log_that_does_not_verify_is_told_everywhere(report: Report):
    bad = replace(report, proof=Proof.UNSOUND, findings=("log.test: record 3: changed",))
    assert "does not verify" in html(bad)
    assert "record 3: changed" in html(bad)
    assert "does not verify" in texts(pdf(bad))
    assert document(bad)["log"]["proof"] == "not sound"


def test_a_report_without_verification_says_so(report: Report):
    assert "was not verified" in html(replace(report, proof=Proof.SKIPPED))


def test_an_empty_period_can_be_drawn(report: Report):
    empty = replace(report, figures=Figures())
    assert html(empty).count("<svg") == 3
    assert pdf(empty).startswith(b"%PDF-")


def test_the_document_is_json(report: Report):
    told = json.loads(json.dumps(document(report)))
    assert told["figures"]["denied"] == 2
    assert told["controls"][0]["figures"]


def test_any_number_of_exceptions_in_any_writing_fits(report: Report, figures: Figures):
    fault = next(record for record in made_log() if isinstance(record, audit.Fault))
    for at in range(MAX_LISTED + 5):
        figures.add(fault.model_copy(update={"error": f"{at} 中文 " + "x" * 300}), "log.test")
    made = texts(pdf(report))
    assert "<U+4E2D>" in made
    for page in (html(report), made):
        assert f"The first {MAX_LISTED} of {MAX_LISTED + 6}" in page
