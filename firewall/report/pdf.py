"""The report as PDF, with the fonts that every reader has; other characters appear as code points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fpdf import FPDF, FontFace, XPos, YPos
from fpdf.enums import TableBordersLayout

from firewall.channels import visible
from firewall.report import trends
from firewall.report.exceptions import exceptions
from firewall.report.model import Proof
from firewall.report.words import ABOUT, FIRST, GROUPS, headline, period, tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from firewall.report.facts import Fact
    from firewall.report.figures import Listed, Notable
    from firewall.report.frameworks import Control
    from firewall.report.model import Report
    from firewall.report.trends import Chart

Colour = tuple[int, int, int]

INK, SOFT, LINE, ACCENT = (20, 20, 20), (95, 90, 82), (205, 200, 190), (23, 97, 106)
_PROOF = {Proof.SOUND: (44, 110, 73), Proof.UNSOUND: (168, 18, 60), Proof.SKIPPED: (138, 98, 5)}
_KEYS: dict[str, Colour] = {
    **dict.fromkeys(("allow", "approved"), (143, 179, 164)),
    **dict.fromkeys(("hold", "90th percentile"), (211, 154, 45)),
    **dict.fromkeys(("deny", "rejected"), (168, 18, 60)),
    "median": ACCENT,
    "expired": (169, 162, 148),
    "withdrawn": (198, 193, 183),
    "lapsed": (222, 219, 212),
}
MARGIN = 18
# what the fonts have not, and a reader takes for the same
_ALIKE = str.maketrans(
    {"—": "-", "–": "-", "…": "...", "“": '"', "”": '"', "‘": "'", "’": "'", "⟨": "<", "⟩": ">"}
)


def pdf(report: Report) -> bytes:
    """The same content as the HTML page; the numbers behind the pictures are left to that and to JSON."""
    page = _Pages(report)
    page.front()
    page.controls()
    page.exceptions()
    page.trends()
    page.figures()
    page.log()
    return bytes(page.output())


def _plain(text: str) -> str:
    """In the characters of the fonts (Latin-1), everything else by its code point."""
    shown = visible.line(text).translate(_ALIKE)
    return "".join(char if ord(char) < 256 else f"<U+{ord(char):04X}>" for char in shown)


class _Pages(FPDF):
    def __init__(self, report: Report) -> None:
        super().__init__(format="A4")
        self._report = report
        self._facts: Mapping[str, Fact] = report.facts
        self.set_title(_plain(f"{report.framework.name} evidence, {period(report)}"))
        self.set_creator(_plain(f"query-firewall {report.version}"))
        self.set_creation_date(report.made)
        self.set_lang("en")
        self.set_margin(MARGIN)
        self.set_auto_page_break(auto=True, margin=MARGIN)
        self.alias_nb_pages()
        self.add_page()

    def footer(self) -> None:
        self.set_y(-12)
        self._font(7.5, SOFT)
        report = self._report
        self.cell(0, 4, _plain(f"{report.framework.name}, {period(report)}: {report.proof.value}"))
        self.set_x(MARGIN)
        self.cell(0, 4, f"{self.page_no()} / {{nb}}", align="R")

    def front(self) -> None:
        report = self._report
        self._text("Evidence from the query firewall", 9, SOFT)
        self._text(report.framework.name, 24, family="Times", gap=0)
        self._text(report.framework.edition, 10, SOFT, gap=4)
        for name, value in (
            ("Period", period(report)),
            ("Log", ", ".join(head.origin for head in report.heads)),
            ("Made", f"{report.made:%-d %B %Y %H:%M} UTC, query-firewall {report.version}"),
        ):
            self._font(10, SOFT)
            self.cell(22, 5.5, name)
            self._font(10)
            self.multi_cell(0, 5.5, _plain(value), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(3)
        self._text(report.proof.value, 12, _PROOF[report.proof], style="B", gap=0)
        self._text(headline(report), 10, gap=1)
        for finding in report.findings:
            self._text(finding, 8, _PROOF[Proof.UNSOUND], gap=0)
        self.ln(3)
        self._pairs(FIRST)

    def controls(self) -> None:
        self._heading("Controls")
        self._text(
            "Only controls that the firewall carries out or records are here; each says what must "
            "be shown by other "
            "means. Titles are paraphrased.",
            *(9, SOFT),
            gap=3,
        )
        for control in self._report.framework.controls:
            self._keep(60)
            self.one_control(control)
            self.ln(3)

    def one_control(self, control: Control) -> None:
        self._text(f"{control.id}  {control.title}", 11, ACCENT, style="B")
        self._text(control.how, 9.5)
        self._text(f"Not shown here: {control.short}", 8.5, SOFT, gap=2)
        self._pairs(control.facts)

    def exceptions(self) -> None:
        self._heading("Exceptions")
        for one in exceptions(self._report.figures):
            known = one.key not in {"unlogged", "bypass"}
            self._keep(24)
            number = (f"{one.total:,}" if one.total else "none") if known or one.total else ""
            self._text(f"{one.title}{': ' if number else ''}{number}", 11, style="B")
            if one.total or not known:
                self._text(one.note, 9, SOFT, gap=2)
            if one.counts:
                self._table(("rule", "statements"), [(rule, f"{count:,}") for rule, count in one.counts])
            self._events(one.listed, one.total)
            self.ln(2)

    def trends(self) -> None:
        self._heading("Trends")
        for chart in trends.charts(self._report):
            self._keep(70)
            self._text(chart.title, 11, style="B")
            self._legend(chart.keys)
            self._chart(chart)

    def figures(self) -> None:
        self._heading("Figures")
        self._text(ABOUT, 9, SOFT, gap=3)
        for title, keys in GROUPS:
            self._keep(40)
            self._text(title, 11, style="B")
            self._pairs(keys)
            self.ln(3)
        for table in tables(self._report.figures):
            self._keep(24)
            self._text(table.title, 11, style="B")
            if table.rows:
                self._table(table.heads, table.rows)
            else:
                self._text(table.empty, 9, SOFT)
            self.ln(3)
        changes: Listed = self._report.figures.policies
        self._keep(24)
        self._text("Policy changes", 11, style="B")
        if not changes.listed:
            self._text("No policy was changed.", 9, SOFT)
        self._events(changes.listed, changes.total)

    def log(self) -> None:
        self._heading("The log")
        self._text(
            "What this report was made from: the records of each log up to a head that was signed "
            "with the log's key "
            "(C2SP signed note).",
            *(9, SOFT),
            gap=3,
        )
        for head in self._report.heads:
            self._keep(40)
            self._text(head.origin, 11, style="B")
            self._text(f"{head.size:,} records, root {head.root}", 9, gap=2)
            for line in head.note.splitlines():
                self._text(line or " ", 8, family="Courier", gap=0)
            self.ln(4)

    def _font(self, size: float, colour: Colour = INK, *, style: str = "", family: str = "Helvetica") -> None:
        self.set_font(family, style, size)
        self.set_text_color(*colour)

    def _text(
        self,
        text: str,
        size: float,
        colour: Colour = INK,
        *,
        style: str = "",
        family: str = "Helvetica",
        gap: float = 1,
    ) -> None:
        self._font(size, colour, style=style, family=family)
        height = size * 0.47
        self.multi_cell(0, height, _plain(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(gap)

    def _heading(self, text: str) -> None:
        self._keep(50)
        self.ln(6)
        self.set_draw_color(*INK)
        self.line(MARGIN, self.get_y(), self.w - MARGIN, self.get_y())
        self.ln(2)
        self.start_section(text)
        self._text(text, 16, family="Times", gap=2)

    def _keep(self, height: float) -> None:
        """Begin a page if less than so much is left of this one."""
        if self.will_page_break(height):
            self.add_page()

    def _pairs(self, keys: Iterable[str]) -> None:
        """Names and values in two columns."""
        wide = (self.epw - 8) / 2
        for at, key in enumerate(keys):
            left = at % 2 == 0
            if not left:
                self.set_x(MARGIN + wide + 8)
            fact = self._facts[key]
            self._font(9, SOFT)
            # a long name is written smaller rather than over its value
            self._font(min(9, 9 * (wide - 26) / self.get_string_width(fact.name)), SOFT)
            self.cell(wide - 24, 5, fact.name)
            self._font(9, style="B")
            self.cell(24, 5, fact.shown, align="R")
            if not left:
                self.ln(5)
        if left:
            self.ln(5)

    def _table(self, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        self._font(8.5)
        self.set_draw_color(*LINE)
        widths = (3, *(1 for _ in heads[1:]))
        with self.table(
            col_widths=widths,
            text_align=("LEFT", *("RIGHT" for _ in heads[1:])),
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            headings_style=FontFace(color=SOFT),
            line_height=4.5,
            align="LEFT",
        ) as table:
            for row in (heads, *rows):
                table.row([_plain(cell) for cell in row])

    def _events(self, listed: Sequence[Notable], total: int) -> None:
        if not listed:
            return
        self._font(8)
        self.set_draw_color(*LINE)
        with self.table(
            col_widths=(20, 30, 70, 34),
            text_align="LEFT",
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            headings_style=FontFace(color=SOFT),
            line_height=4,
        ) as table:
            table.row(("when (UTC)", "who or where", "what", "record"))
            for one in listed:
                when = one.at[:19].replace("T", " ")
                table.row([_plain(cell) for cell in (when, one.who, one.what, one.record)])
        if total > len(listed):
            self.ln(1)
            self._text(f"The first {len(listed)} of {total:,}.", 8, SOFT)

    def _legend(self, keys: Iterable[str]) -> None:
        self._font(8, SOFT)
        for key in keys:
            self.set_fill_color(*_KEYS[key])
            self.rect(self.get_x() + 1, self.get_y() + 0.8, 2.4, 2.4, style="F")
            self.set_x(self.get_x() + 4)
            self.cell(self.get_string_width(key) + 6, 4, key)
        self.ln(5)

    def _chart(self, chart: Chart) -> None:
        scale = self.epw / trends.WIDTH
        left, top = MARGIN, self.get_y()
        self.set_line_width(0.1)
        self.set_draw_color(*LINE)
        self._font(7, SOFT)
        for y, word in chart.ticks:
            self.line(left + trends.LEFT * scale, top + y * scale, left + self.epw, top + y * scale)
            self.text(left + trends.LEFT * scale - 2 - self.get_string_width(word), top + y * scale + 1, word)
        for x, word in chart.dates:
            self.text(
                left + x * scale - self.get_string_width(word) / 2, top + (trends.FLOOR + 18) * scale, word
            )
        for box in chart.boxes:
            self.set_fill_color(*_KEYS[box.key])
            self.rect(
                left + box.x * scale, top + box.y * scale, box.width * scale, box.height * scale, style="F"
            )
        self.set_line_width(0.4)
        for line in chart.lines:
            self.set_draw_color(*_KEYS[line.key])
            self.set_fill_color(*_KEYS[line.key])
            points = [(left + x * scale, top + y * scale) for x, y in line.points]
            self.polyline(points)
            for x, y in points:
                self.circle(x, y, 0.8, style="F")
        self.set_line_width(0.2)
        self.set_y(top + trends.HEIGHT * scale + 4)
