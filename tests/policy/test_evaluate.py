"""Verdicts: coverage, precedence, parts, unknown effects, requirements."""

from __future__ import annotations

from pathlib import Path

import pytest

from firewall import policy
from firewall.policy import Action, Requirement, Risk, Subject, Terms
from firewall.policy.evaluate import together
from firewall.policy.verdict import Escalation
from firewall.sql.analysis import Effect, Kind, ObjectType

HEAD = """
version: 1
default: DEFAULT
approvers:
  dba@example.com: {groups: [dba]}
  security@example.com: {groups: [security]}
approval: {groups: [dba], quorum: 1, expires: 10m}
rules:
"""
SUBJECT = Subject(agent="reporter", owner="owner@example.com", database="shop", environment="prod", team="bi")


def written(*rules: str, default: str = "hold", mode: str = "enforce") -> policy.Policy:
    lines = "".join(f"  - {{name: r{number}, why: because, {rule}}}\n" for number, rule in enumerate(rules))
    return policy.parse(HEAD.replace("DEFAULT", default) + lines + f"mode: {mode}\n", Path("p.yaml"))


def judge(*rules: str, effects: tuple[Effect, ...], default: str = "hold") -> policy.Verdict:
    return written(*rules, default=default).evaluate(SUBJECT, effects)


def read(*columns: str, labels=(), tested=(), tested_labels=(), relation="public.orders") -> Effect:
    return Effect(
        Kind.READ, relation, columns=columns, tested=tested, labels=labels, tested_labels=tested_labels
    )


def test_an_allowed_read_is_allowed_by_its_rule():
    verdict = judge("allow: read", effects=(read("id"),))
    assert (verdict.action, verdict.rule, verdict.risk) == (Action.ALLOW, "r0", Risk.LOW)
    assert verdict.why == "because: read public.orders (id)"


@pytest.mark.parametrize("default", ["hold", "deny"])
def test_what_no_rule_covers_gets_the_default(default):
    verdict = judge(
        "allow: read", effects=(read("id"), Effect(Kind.DELETE, "public.orders")), default=default
    )
    assert (verdict.action, verdict.rule) == (Action(default), "default")
    assert "no rule allows this" in verdict.why


def test_deny_beats_hold_beats_allow():
    assert judge("allow: any", "hold: read", effects=(read("id"),)).rule == "r1"
    assert judge("deny: read", "allow: any", "hold: read", effects=(read("id"),)).rule == "r0"


def test_every_matching_rule_gives_its_reason():
    verdict = judge("allow: any", "hold: read", effects=(read("id"),))
    assert [(r.rule, r.action) for r in verdict.reasons] == [("r0", Action.ALLOW), ("r1", Action.HOLD)]


def test_the_strictest_effect_decides_for_the_statement():
    verdict = judge("allow: read", "deny: drop", effects=(read("id"), Effect(Kind.DROP, "public.orders")))
    assert (verdict.action, verdict.rule) == (Action.DENY, "r1")


@pytest.mark.parametrize(
    ("when", "matches"),
    [
        ("agents: rep*", True),
        ("agents: [x, reporter]", True),
        ("agents: Reporter", False),
        ("agents: any", True),
        ("owners: '*@example.com'", True),
        ("owners: '*@example.org'", False),
        ("teams: bi", True),
        ("teams: b", False),
        ("databases: shop", True),
        ("databases: shop2", False),
        ("environments: prod", True),
        ("environments: test", False),
        ("relations: public.*", True),
        ("relations: orders", True),
        ("relations: public.order", False),
        ("relations: other.orders", False),
        ("relations: any", True),
        ("functions: any", False),
        ("settings: any", False),
        ("objects: public.orders", True),
        ("agents: reporter, relations: orders", True),
        ("agents: reporter, relations: customers", False),
    ],
)
def test_all_matchers_of_a_rule_must_match(when, matches):
    verdict = judge(f"deny: read, when: {{{when}}}", effects=(read("id"),))
    assert (verdict.action is Action.DENY) is matches
    verdict = judge(f"allow: read, when: {{{when}}}", effects=(read("id"),))
    assert (verdict.action is Action.ALLOW) is matches


def test_a_dot_inside_a_quoted_name_is_read_both_ways():
    inside = Effect(Kind.READ, "hr.x.payroll", columns=("id",))
    assert judge("deny: read, when: {relations: hr.*}", effects=(inside,)).action is Action.DENY
    assert judge("deny: read, when: {relations: payroll}", effects=(inside,)).action is Action.DENY
    # `hr.x` may be the schema, so a rule about the schema `hr` does not allow it
    assert judge("allow: read, when: {relations: hr.*}", effects=(inside,)).action is Action.HOLD


class TestLabels:
    def test_unlabelled_is_about_what_reaches_the_client(self):
        rule = "allow: read, when: {unlabelled: true}"
        assert judge(rule, effects=(read("id"),)).action is Action.ALLOW
        tested = read("id", tested=("email",), tested_labels=("pii.email",))
        assert judge(rule, effects=(tested,)).action is Action.ALLOW
        assert judge(rule, effects=(read("email", labels=("pii.email",)),)).action is Action.HOLD

    @pytest.mark.parametrize(
        ("pattern", "matches"),
        [
            ("pii", True),
            ("pii.*", True),
            ("pii.email", True),
            ("pi", False),
            ("pii.phone", False),
            ("any", True),
        ],
    )
    def test_labels_are_hierarchical(self, pattern, matches):
        verdict = judge(
            f"deny: read, when: {{labels: {pattern}}}", effects=(read("email", labels=("pii.email",)),)
        )
        assert (verdict.action is Action.DENY) is matches

    def test_any_label_needs_a_label(self):
        assert judge("allow: read, when: {labels: any}", effects=(read("id"),)).action is Action.HOLD

    def test_every_label_must_be_allowed_by_some_rule(self):
        both = read("email", "phone", labels=("pii.email", "pii.phone"))
        email, phone = "allow: read, when: {labels: pii.email}", "allow: read, when: {labels: pii.phone}"
        assert judge(email, effects=(both,)).action is Action.HOLD
        assert judge(email, phone, effects=(both,)).action is Action.ALLOW

    def test_one_label_is_enough_to_hold_or_deny(self):
        both = read("email", "pan", labels=("pii.email", "pci.pan"))
        verdict = judge("allow: any", "deny: read, when: {labels: pci}", effects=(both,))
        assert verdict.action is Action.DENY
        assert {r.rule: r.labels for r in verdict.reasons} == {
            "r0": ("pci.pan", "pii.email"),
            "r1": ("pci.pan",),
        }

    def test_a_part_that_nothing_mentions_is_denied_although_the_rest_is_held(self):
        both = read("email", "salary", labels=("hr.salary", "pii.email"))
        verdict = judge("hold: read, when: {labels: pii}", effects=(both,), default="deny")
        assert (verdict.action, verdict.rule) == (Action.DENY, "default")

    def test_tested_labels_are_matched_on_their_own(self):
        probe = read("id", tested=("pan",), tested_labels=("pci.pan",))
        rules = ("allow: read, when: {unlabelled: true}", "hold: read, when: {tested_labels: pci}")
        verdict = judge(*rules, effects=(probe,))
        assert (verdict.action, verdict.rule) == (Action.HOLD, "r1")
        assert [r.labels for r in verdict.reasons if r.rule == "r1"] == [("pci.pan",)]
        assert judge("deny: read, when: {labels: pci}", effects=(probe,)).action is Action.HOLD


class TestColumns:
    ALLOW = "allow: any, when: {columns: [orders.id, public.orders.total]}"

    def test_every_column_returned_written_or_tested_must_be_allowed(self):
        assert judge(self.ALLOW, effects=(read("id", "total"),)).action is Action.ALLOW
        assert judge(self.ALLOW, effects=(read("id", "note"),)).action is Action.HOLD
        assert judge(self.ALLOW, effects=(read("id", tested=("note",)),)).action is Action.HOLD
        assert judge(self.ALLOW, effects=(read("id", relation="other.orders"),)).action is Action.ALLOW
        assert judge(self.ALLOW, effects=(read("total", relation="other.orders"),)).action is Action.HOLD

    def test_two_rules_may_cover_columns_between_them(self):
        rules = ("allow: read, when: {columns: id}", "allow: read, when: {columns: total}")
        assert judge(*rules, effects=(read("id", "total"),)).action is Action.ALLOW

    def test_columns_and_labels_are_covered_together(self):
        effect = read("a", "b", labels=("l.x", "l.y"))
        rules = (
            "allow: read, when: {columns: a, labels: l.x}",
            "allow: read, when: {columns: b, labels: l.y}",
        )
        assert judge(*rules, effects=(effect,)).action is Action.HOLD

    def test_every_column_is_allowed_by_a_star_only(self):
        assert judge(self.ALLOW, effects=(read("*"),)).action is Action.HOLD
        assert judge("allow: read, when: {columns: 'orders.?'}", effects=(read("*"),)).action is Action.HOLD
        assert judge("allow: read, when: {columns: orders.*}", effects=(read("*"),)).action is Action.ALLOW

    def test_every_column_includes_the_one_that_is_denied(self):
        rules = ("allow: any", "deny: read, when: {columns: orders.secret}")
        assert judge(*rules, effects=(read("*"),)).action is Action.DENY
        assert judge(*rules, effects=(read("id"),)).action is Action.ALLOW
        assert judge(*rules, effects=(read(),)).action is Action.ALLOW
        assert judge(*rules, effects=(read("*", relation="public.other"),)).action is Action.ALLOW

    def test_dropping_a_table_concerns_its_columns(self):
        rules = ("allow: any", "deny: any, when: {columns: orders.secret}")
        assert judge(*rules, effects=(Effect(Kind.DROP, "public.orders"),)).action is Action.DENY


class TestContainers:
    RULES = ("allow: any", "deny: any, when: {relations: payroll.*}")

    @pytest.mark.parametrize(
        ("effect", "action"),
        [
            (Effect(Kind.DROP, "payroll", ObjectType.SCHEMA), Action.DENY),
            (Effect(Kind.DROP, "shop", ObjectType.SCHEMA), Action.ALLOW),
            (Effect(Kind.DROP, "shop", ObjectType.DATABASE), Action.DENY),
            (Effect(Kind.CODE, "do_stmt", ObjectType.STATEMENT), Action.DENY),
            (Effect(Kind.TRANSACTION, "begin", ObjectType.STATEMENT), Action.ALLOW),
            (Effect(Kind.SETTING, "timezone", ObjectType.SETTING), Action.ALLOW),
        ],
    )
    def test_what_may_hold_a_relation_is_stopped_with_it(self, effect, action):
        assert judge(*self.RULES, effects=(effect,)).action is action

    def test_it_is_not_allowed_with_it(self):
        schema = Effect(Kind.DROP, "payroll", ObjectType.SCHEMA)
        assert judge("allow: drop, when: {relations: payroll.*}", effects=(schema,)).action is Action.HOLD


class TestUnknown:
    EFFECT = Effect(Kind.UNKNOWN, "statement", ObjectType.STATEMENT)

    @pytest.mark.parametrize("effects", ["any", "'*'", "'unk*'", "[read, drop]"])
    def test_no_pattern_allows_it(self, effects):
        assert judge(f"allow: {effects}", effects=(self.EFFECT,)).action is Action.HOLD

    def test_the_word_allows_it(self):
        assert judge("allow: unknown", effects=(self.EFFECT,)).action is Action.ALLOW
        assert (
            judge("allow: unknown, when: {agents: reporter}", effects=(self.EFFECT,)).action is Action.ALLOW
        )

    @pytest.mark.parametrize(
        "when",
        ["relations: any", "objects: statement", "unlabelled: true", "unfiltered: false", "columns: any"],
    )
    def test_nothing_about_it_is_known_that_could_allow_it(self, when):
        verdict = judge(f"allow: unknown, when: {{{when}}}", effects=(self.EFFECT,))
        assert verdict.action is Action.HOLD

    @pytest.mark.parametrize(
        "when", ["relations: payroll.*", "labels: pii", "unfiltered: true", "functions: x"]
    )
    def test_it_may_be_what_a_deny_is_about(self, when):
        verdict = judge("allow: unknown", f"deny: any, when: {{{when}}}", effects=(self.EFFECT,))
        assert verdict.action is Action.DENY


def test_temporary_is_what_the_session_alone_has():
    rules = ("hold: any, when: {temporary: false}", "allow: any, when: {temporary: true}")
    own = Effect(Kind.DELETE, "pg_temp.t")
    assert judge(*rules, effects=(own,)).action is Action.ALLOW
    for other in (
        Effect(Kind.DELETE, "public.t"),
        Effect(Kind.DROP, "pg_temp_3.t"),
        Effect(Kind.DROP, "pg_temp", ObjectType.SCHEMA),
        Effect(Kind.CREATE, "pg_temp.t", ObjectType.TYPE),
        Effect(Kind.UNKNOWN, "pg_temp.t"),
    ):
        assert judge(*rules, effects=(other,)).action is Action.HOLD, other
        assert judge(*rules, effects=(own, other)).action is Action.HOLD, other
    literal = judge("allow: unknown, when: {temporary: true}", effects=(Effect(Kind.UNKNOWN, "pg_temp.t"),))
    assert literal.action is Action.HOLD


def test_unfiltered_tells_a_missing_where():
    rules = ("allow: delete", "deny: delete, when: {unfiltered: true}")
    assert judge(*rules, effects=(Effect(Kind.DELETE, "public.t", unfiltered=True),)).action is Action.DENY
    assert judge(*rules, effects=(Effect(Kind.DELETE, "public.t"),)).action is Action.ALLOW


def test_settings_and_functions_are_named():
    setting = Effect(Kind.SETTING, "role", ObjectType.SETTING)
    function = Effect(Kind.EXECUTE, "public.f", ObjectType.FUNCTION)
    assert judge("deny: setting, when: {settings: role}", effects=(setting,)).action is Action.DENY
    assert judge("deny: execute, when: {functions: f}", effects=(function,)).action is Action.DENY
    assert judge("allow: execute, when: {functions: public.f}", effects=(function,)).action is Action.ALLOW


def test_no_effects_are_allowed_with_a_reason():
    verdict = judge("deny: any", effects=())
    assert (verdict.action, verdict.rule) == (Action.ALLOW, "nothing")


def test_observe_judges_without_enforcing():
    verdict = written("deny: any", mode="observe").evaluate(SUBJECT, [read("id")])
    assert (verdict.action, verdict.enforced) == (Action.DENY, False)


def test_the_verdict_names_the_policy_and_is_the_same_twice():
    loaded = written("allow: read")
    first, second = loaded.evaluate(SUBJECT, [read("id")]), loaded.evaluate(SUBJECT, [read("id")])
    assert first == second
    assert first.revision == loaded.revision


class TestRequirement:
    def test_only_a_hold_has_one(self):
        assert judge("allow: read", effects=(read("id"),)).requirement is None
        assert judge("deny: read", "hold: read", effects=(read("id"),)).requirement is None

    def test_the_default_and_a_plain_hold_have_the_policys(self):
        shared = Requirement(("dba",), 1, 600.0)
        assert judge("allow: read", effects=(Effect(Kind.DROP, "t"),)).requirement == shared
        assert judge("hold: read", effects=(read("id"),)).requirement == shared

    def test_a_rule_has_its_own_and_the_rest_from_the_policy(self):
        verdict = judge("hold: read, approval: {groups: [dba, security], quorum: 2}", effects=(read("id"),))
        assert verdict.requirement == Requirement(("dba", "security"), 2, 600.0)

    def test_together_is_escalated_when_the_last_is_to_those_who_may_decide_all(self):
        first = Requirement(("dba",), escalation=Escalation(60.0, ("leads", "ops"), ("slack:C1A",)))
        second = Requirement(("dba", "sec"), 1, 900.0, ("slack:C2A",), 30.0, Escalation(90.0, ("leads",)))
        both = together([first, second])
        assert both.escalation == Escalation(90.0, ("leads",), ("slack:C1A",))
        assert (both.channels, both.remind) == (("slack:C2A",), 30.0)
        # a rule that is not escalated keeps its deciders
        assert together([first, Requirement(("dba",))]).escalation == Escalation(60.0, (), ("slack:C1A",))
        # what two teams decide together is never escalated to one
        apart = Requirement(("sec",), escalation=Escalation(60.0, ("leads",)))
        assert together([first, apart]).escalation == Escalation(60.0, (), ("slack:C1A",))

    def test_together_is_no_weaker_than_any(self):
        wide, narrow = Requirement(("dba", "security"), 1, 60.0), Requirement(("security",), 2, 900.0)
        assert together([wide, narrow]) == Requirement(("security",), 2, 60.0)

    def test_two_teams_cannot_be_one_person(self):
        dba, security = Requirement(("dba",), 1, 60.0), Requirement(("security",), 1, 60.0)
        parts = ((("dba",), 1), (("security",), 1))
        assert together([dba, security, dba]) == Requirement(("dba", "security"), 2, 60.0, parts=parts)

    def test_what_goes_beyond_one_run_has_to_be_let_by_all(self):
        first = Requirement(
            ("dba",),
            wait=60.0,
            outlives=True,
            use_within=100.0,
            grants=Terms(60.0, 9, None),
            break_glass=("a", "b"),
        )
        second = Requirement(
            ("dba",), wait=30.0, outlives=True, grants=Terms(90.0, 5, 7), break_glass=("b", "c")
        )
        both = together([first, second])
        assert (both.wait, both.outlives, both.use_within) == (30.0, True, 100.0)
        assert (both.grants, both.break_glass) == (Terms(60.0, 5, 7), ("b",))
        less = together([first, Requirement(("dba",))])
        assert (less.wait, less.outlives, less.grants, less.break_glass) == (60.0, False, None, ())

    def test_nobody_stays_nobody(self):
        assert together([Requirement(()), Requirement(("dba",))]).groups == ()


def test_a_rule_raises_the_risk_and_never_lowers_it():
    assert judge("allow: read, risk: high", effects=(read("id"),)).risk is Risk.HIGH
    assert judge("hold: drop, risk: low", effects=(Effect(Kind.DROP, "t"),)).risk is Risk.HIGH


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr("firewall.policy.evaluate.MAX_REMEMBERED", 10)
    loaded = written("allow: read, when: {relations: public.*}")
    for number in range(40):
        subject = Subject(f"a{number}", "o", "d")
        assert loaded.evaluate(subject, [read("id", relation=f"public.t{number}")]).action is Action.ALLOW
    assert remembered(loaded) <= 10
    assert len(loaded._judge._of_subject) <= 10
    # one who asks for many is bounded as well
    for number in range(40):
        loaded.evaluate(SUBJECT, [read("id", relation=f"public.t{number}")])
    assert 0 < remembered(loaded) <= 10


def remembered(loaded):
    return sum(len(about.objects) for about in loaded._judge._of_subject.values())


def test_a_name_that_is_no_name_is_denied_at_once_and_not_kept():
    loaded = written("allow: any, when: {relations: '*'}")
    verdict = loaded.evaluate(SUBJECT, [read("id", relation="a." * 500_000)])
    assert (verdict.action, verdict.rule) == (Action.DENY, "error")
    assert "ValueError" in verdict.why
    setting = Effect(Kind.SETTING, "s" * 1000, ObjectType.SETTING)
    assert loaded.evaluate(SUBJECT, [setting]).action is Action.HOLD
    assert not remembered(loaded)
