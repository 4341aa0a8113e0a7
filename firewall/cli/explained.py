"""A judgement as `firewall explain` shows it: a tree for people, one line of JSON for programs."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from rich.text import Text
from rich.tree import Tree

from firewall.channels import visible
from firewall.policy import risk
from firewall.sql import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from firewall.cli.terminal import Terminal
    from firewall.judgement import Judgement
    from firewall.masking import Masks
    from firewall.policy import Moment, Reason
    from firewall.policy.obligations import Mask
    from firewall.policy.trace import Word
    from firewall.sql import Analysis, Effect, Output

# of these the columns are those that can reach the client; of others, those that are written
_OUTWARD = frozenset({Kind.READ, Kind.COPY_OUT, Kind.UNKNOWN})
# the arithmetic of more effects than this tells nobody anything
MAX_SUMS = 8
_COLOURS = {"allow": "green", "hold": "yellow", "deny": "red"}


def public(judgement: Judgement) -> dict[str, Any]:
    """For programs. `opaque` is why it could not be understood, empty if it was."""
    verdict = judgement.verdict
    return {
        "verdict": verdict.action.value,
        "risk": verdict.risk.value,
        "effects": [
            {
                "kind": effect.kind.value,
                "object": effect.object,
                "columns": list(effect.columns),
                "labels": list(effect.labels),
            }
            for effect in judgement.effects
        ],
        "output_labels": sorted({la for e in judgement.effects if e.kind in _OUTWARD for la in e.labels}),
        "tested_labels": list(judgement.tested_labels),
        "opaque": _opaque(judgement),
        "reasons": [_reason(reason) for reason in _ordered(judgement)],
    }


def public_with_rules(
    judgement: Judgement, moment: Moment, words: Sequence[Word], masked: Masks | None
) -> dict[str, Any]:
    """`public`, the arithmetic of the risk, what is owed, and every rule on every effect.

    masked: the form of each output column's mask, null for one that may be seen; null altogether if it
    cannot be told, and then the statement is refused.
    """
    verdict = judgement.verdict
    return {
        **public(judgement),
        "arithmetic": [
            {"effect": each.effect, "points": each.points, "terms": [list(term) for term in each.terms]}
            for each in risk.shown(judgement.effects, moment)
        ],
        "obligations": str(verdict.obligations),
        "masked": None if masked is None else [mask.form.value if mask else None for mask in masked],
        "budgets": list(verdict.budgets),
        "depends_on": sorted(verdict.facts),
        "rules": [
            {
                "rule": word.rule,
                "action": word.action.value,
                "effect": word.effect,
                "matches": word.matches,
                "partly": word.partly,
                "missed": list(word.missed),
            }
            for word in words
        ],
    }


def tell_rules(terminal: Terminal, words: Sequence[Word], *, quiet: bool) -> None:
    """Every rule with the effects on which it speaks, or with what of it is true of none."""
    tree = Tree(Text("rule by rule", style="bold"), guide_style="dim")
    by_rule: dict[str, list[Word]] = {}
    for word in words:
        by_rule.setdefault(word.rule, []).append(word)
    for rule, said in by_rule.items():
        matching = [word for word in said if word.matches]
        if quiet and not matching:
            continue
        action = said[0].action.value
        head = Text(f"{action:<5}", style=_COLOURS[action] if matching else "dim")
        branch = tree.add(head.append(f" {visible.line(rule)}", style="default" if matching else "dim"))
        for word in matching:
            branch.add(Text(visible.line(f"matches {word.effect}{' in part' if word.partly else ''}")))
        if not matching:
            # what is missing everywhere tells more than what is missing somewhere
            everywhere = [m for m in said[0].missed if all(m in word.missed for word in said)]
            missed = everywhere or list(dict.fromkeys(m for word in said for m in word.missed))
            branch.add(Text(visible.line(f"does not match: {', '.join(missed)}"), style="dim"))
    terminal.out.print(tree, soft_wrap=False)


def tell(terminal: Terminal, judgement: Judgement, moment: Moment, masked: Masks | None) -> None:
    """For people. masked: as above."""
    verdict = judgement.verdict
    colour = _COLOURS[verdict.action.value]
    head = Text(verdict.action.value.upper(), style=f"bold {colour}")
    head.append(f"  {verdict.risk} risk, by `{visible.line(verdict.rule)}`", style="default")
    if not verdict.enforced:
        head.append("  (observe mode: it would run all the same)", style="dim")
    tree = Tree(head, guide_style="dim")
    if opaque := _opaque(judgement):
        tree.add(Text(f"not understood: {visible.line(opaque)}", style="red"))
    _branch(tree, "it would", (_effect(effect) for effect in judgement.effects))
    _branch(tree, "because", (_because(reason) for reason in _ordered(judgement)))
    for number, statement in enumerate(judgement.analysis.statements, 1):
        many = len(judgement.analysis.statements) > 1
        title = f"the client would get, by statement {number}" if many else "the client would get"
        outputs = zip_longest(statement.output or (), (masked or ())[: len(statement.output or ())])
        _branch(tree, title, (_output(output, mask) for output, mask in outputs))
    if verdict.requirement is not None:
        needed = verdict.requirement
        groups = ", ".join(needed.groups) or "nobody: the policy names no group"
        tree.add(Text(f"to be decided by {needed.quorum} of {groups}, within {needed.expires:g} s"))
        if needed.at_commit is not None:
            tree.add(Text(f"in an open transaction: at COMMIT, within {needed.at_commit:g} s"))
    if verdict.obligations:
        tree.add(Text(visible.line(f"under obligations: {verdict.obligations}")))
    if masked is None:
        tree.add(Text("it would be refused: which columns to mask cannot be told", style="red"))
    if verdict.budgets:
        tree.add(Text(visible.line(f"its rows count against {', '.join(verdict.budgets)}")))
    sums = risk.shown(judgement.effects, moment)
    lines = [str(each) for each in sums[:MAX_SUMS] if each.points]
    if risk.tier(judgement.effects, (), moment) is not verdict.risk:
        lines.append(f"a rule that matches says at least {verdict.risk}")
    _branch(tree, "risk", (Text(visible.line(line)) for line in lines))
    if verdict.facts:
        tree.add(
            Text(f"at another moment it may be another: {', '.join(sorted(verdict.facts))}", style="dim")
        )
    terminal.out.print(tree, soft_wrap=False)


def _branch(tree: Tree, title: str, leaves: Iterable[Text]) -> None:
    told = list(leaves)
    if told:
        branch = tree.add(Text(title, style="bold"))
        for leaf in told:
            branch.add(leaf)


def _effect(effect: Effect) -> Text:
    line = Text(visible.line(str(effect)))
    if effect.labels:
        line.append(f"  {', '.join(effect.labels)}", style="magenta")
    if effect.tested:
        line.append(visible.line(f"  testing {', '.join(effect.tested)}"), style="dim")
    if effect.tested_labels:
        line.append(f"  {', '.join(effect.tested_labels)}", style="magenta")
    return line


def _because(reason: Reason) -> Text:
    colour = _COLOURS[reason.action.value]
    line = Text(f"{reason.action.value:<5}", style=colour)
    return line.append(visible.line(f" {_reason(reason)}"), style="default")


def _output(output: Output, mask: Mask | None) -> Text:
    sources = ", ".join(f"{source.relation}.{source.column}" for source in output.sources)
    line = Text(visible.line(f"{output.name} from {sources}" if sources else f"{output.name}"))
    return line.append(f"  masked ({mask.form})", style="cyan") if mask is not None else line


def _ordered(judgement: Judgement) -> list[Reason]:
    """The deciding reasons before the others."""
    return sorted(judgement.verdict.reasons, key=lambda reason: reason.action is not judgement.verdict.action)


def _reason(reason: Reason) -> str:
    return f"{reason.rule}: {reason.why}" + (f" ({reason.effect})" if reason.effect else "")


def _opaque(judgement: Judgement) -> str:
    analysis: Analysis = judgement.analysis
    if analysis.error is not None:
        return f"Postgres rejects it: {analysis.error.message}"
    if analysis.missing:
        return f"the catalog does not have {', '.join(analysis.missing)}"
    return analysis.opaque
