"""Tells the story on a terminal as it happens; plain text where there is no terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.padding import Padding
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firewall import audit
    from firewall.demo.stage import Stage

INDENT = (0, 0, 0, 2)


class Teller:
    """Prints. `notices` counts how often the agent was told to wait."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self.notices = 0

    def step(self, what: str) -> None:
        """Something is being set up."""
        self._console.print(Text(f"· {what} …", style="dim"))

    def ready(self, stage: Stage, *, unattended: bool) -> None:
        """Everything runs: where to connect, where to decide."""
        facts = [
            ("the agent's DSN", stage.dsn),
            ("decide at", stage.app.url),
            ("sign in with", stage.person_token),
            ("or decide with", f"firewall --config {stage.folder}/firewall.yaml holds list"),
        ]
        if stage.app.settings.slack:
            facts.append(("cards go to", f"Slack channel {stage.app.settings.slack.channel}"))
        self._console.print()
        for name, value in facts:
            # never wrapped: these lines are there to be copied
            line = Text.assemble((f"{name:<16}", "bold"), value)
            self._console.print(line, soft_wrap=True)
        how = "the approver is played too" if unattended else "you are the approver"
        self._console.print(Rule(how, style="cyan"))

    def asks(self, why: str, sql: str) -> None:
        """The agent sends a statement."""
        self._console.print()
        self._console.print(Text.assemble(("agent  ", "bold cyan"), (why, "italic")))
        self._console.print(Padding(Syntax(sql, "sql", background_color="default", word_wrap=True), INDENT))

    def notice(self, message: str, detail: str, hint: str) -> None:
        """The agent is told that its statement waits."""
        self.notices += 1
        lines = [Text(f"‖ {message}", style="yellow")]
        lines += [Text(f"  {line}", style="dim") for line in (*detail.splitlines(), *hint.splitlines())]
        self._console.print(Padding(Group(*lines), INDENT))

    def decides(self, verb: str, hold: str, reason: str) -> None:
        """A person decides."""
        self._console.print(Text.assemble(("you    ", "bold magenta"), f"{verb} {hold}: {reason}"))

    def result(self, names: Sequence[str], rows: Sequence[Sequence[object]], tag: str) -> None:
        """The agent gets its result."""
        self._console.print(Padding(Text(f"✓ {tag}", style="green"), INDENT))
        if not names:
            return
        table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
        for name in names:
            table.add_column(name)
        for row in rows:
            table.add_row(*(Text(str(value)) for value in row))
        self._console.print(Padding(table, (0, 0, 0, 4)))

    def error(self, sqlstate: str, message: str, hint: str) -> None:
        """The agent gets an error."""
        self._console.print(Padding(Text(f"✗ {sqlstate} {message}", style="red"), INDENT))
        if hint:
            self._console.print(Padding(Text(f"  {hint}", style="dim"), INDENT))

    def trouble(self, what: str) -> None:
        """Something did not go as it should."""
        self._console.print(Text(what, style="bold red"))

    def verified(self, report: audit.Report) -> None:
        """What came of verifying the log."""
        self._console.print()
        for log in report.logs:
            self._console.print(
                Text.assemble(
                    ("log    ", "bold green" if report.sound else "bold red"),
                    f"{log.origin}: {log.size} records, root {log.root.hex()[:16]}…, ",
                    "every record as it was written" if report.sound else "NOT as it was written",
                )
            )
        for finding in report.findings:
            self.trouble(str(finding))

    def stays(self) -> None:
        """The story is over, and everything still runs."""
        self._console.print()
        self._console.print(
            Text("the story is over; connect with psql and the DSN above, Ctrl-C ends it", style="dim")
        )
