"""From files to policies: what loads, and what is said of what does not."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from firewall import policy
from firewall.errors import ConfigurationError
from firewall.policy.compile import requirement
from firewall.policy.document import Approval, Rule, When
from firewall.policy.source import MAX_BYTES
from firewall.policy.verdict import Escalation

BAD = Path(__file__).parents[2] / "fixtures" / "policy" / "bad"
GOOD = """\
version: 1
default: hold
labels:
  pii.email: "*.email"
approvers:
  dana@example.com: {groups: [dba, security], slack: U012AB3CD}
  sam@example.com: {groups: dba, slack: [{team: T012AB3CD, user: U045EF6GH}]}
approval: {groups: dba, quorum: 2, expires: 1h30m}
rules:
  - name: reads
    allow: read
    when: {unlabelled: true}
    why: harmless
  - name: drops
    deny: drop
    when: any
    why: no
"""


USER = "00a1b2c3-0000-4000-8000-1234567890ab"


def refusal(text: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        policy.parse(text, Path("p.yaml"))
    return caught.value


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])
def test_each_problem_has_its_place_and_says_what_to_write(path, loader, monkeypatch):
    monkeypatch.setattr("firewall.policy.source._LOADER", loader)
    with pytest.raises(ConfigurationError) as caught:
        policy.parse(path.read_text(), Path(path.name))
    # a syntax error's words are the YAML parser's own, and there are two parsers
    mine = [line.partition("not YAML:")[0] for line in str(caught.value).splitlines()]
    expected = path.with_suffix(".txt").read_text().splitlines()
    assert mine == [line.partition("not YAML:")[0] for line in expected]
    assert len(mine) == len(caught.value.problems)


def test_a_policy_loads(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("\ufeff" + GOOD, encoding="utf-8")
    loaded = policy.load(path)
    assert loaded.mode is policy.Mode.ENFORCE
    assert loaded.people == {
        "dana@example.com": frozenset({"dba", "security"}),
        "sam@example.com": frozenset({"dba"}),
    }
    assert loaded.document.approval.expires == 5400.0


def test_people_are_found_by_name_and_by_slack():
    loaded = policy.parse(GOOD, Path("p.yaml"))
    dana = loaded.person("dana@example.com")
    assert dana == policy.Approver("dana@example.com", frozenset({"dba", "security"}), (("", "U012AB3CD"),))
    assert loaded.person("eve@example.com") is None
    assert loaded.person("Dana@example.com") is None
    # an id without a workspace is not any workspace's: the channel asks for its own by the empty one
    assert loaded.by_slack("TANY", "U012AB3CD") is None
    assert loaded.by_slack("", "U012AB3CD") == "dana@example.com"
    assert loaded.by_slack("", "U045EF6GH") is None
    assert loaded.by_slack("T012AB3CD", "U045EF6GH") == "sam@example.com"
    assert loaded.by_slack("TOTHER", "U045EF6GH") is None
    assert loaded.by_slack("T012AB3CD", "U999") is None


def test_the_revision_is_the_contents_and_not_the_layouts():
    first = policy.parse(GOOD, Path("p.yaml")).revision
    head, _, rules = GOOD.partition("rules:\n")
    reads, _, drops = rules.partition("  - name: drops")
    swapped = f"# a comment\n{head}rules:\n  - name: drops{drops}{reads}"
    assert policy.parse(swapped, Path("q.yaml")).revision == first
    assert len(first) == 64
    assert policy.parse(GOOD.replace("deny: drop", "deny: alter"), Path("p.yaml")).revision != first


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(ConfigurationError, match="does not exist"):
        policy.load(tmp_path / "none.yaml")
    with pytest.raises(ConfigurationError, match="is not a file"):
        policy.load(tmp_path)


def test_an_unreadable_file_says_why(tmp_path, monkeypatch):
    path = tmp_path / "p.yaml"
    path.write_text(GOOD)

    def refuse(self, *args):
        raise PermissionError(13, "Permission denied")

    # the tests may run as root, whom no mode bits stop
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigurationError, match=r"cannot be read \(Permission denied\)"):
        policy.load(path)


def test_bytes_that_are_not_utf8_have_a_place(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_bytes(b"version: 1\n# caf\xe9\n")
    with pytest.raises(ConfigurationError) as caught:
        policy.load(path)
    assert str(caught.value) == f"{path}:2:6: the byte `0xe9` is not UTF-8; save the file as UTF-8"


def test_a_huge_file_is_not_parsed(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigurationError, match="larger than 1 MiB"):
        policy.load(path)
    assert "larger than 1 MiB" in str(refusal("#" * (MAX_BYTES + 1)))


def test_a_thousand_problems_are_not_all_told():
    error = refusal(GOOD + "".join(f"key{n}: 1\n" for n in range(1000)))
    assert len(error.problems) == 101
    assert "and 900 more" in str(error)


def test_what_is_invisible_is_shown():
    text = str(refusal(GOOD.replace("allow: read", 'allow: "re\\u202ead\\n"')))
    assert "`re\\u202ead\\n`" in text


def test_offending_text_is_cut():
    assert max(map(len, str(refusal(GOOD.replace("why: no", f"risk: {'x' * 5000}"))).splitlines())) < 300


@pytest.mark.parametrize("plain", ["yes", "on", "off", "1.5", "2024-01-01", "15:00", "0x1f", "1_000", "~x"])
def test_plain_words_are_texts(plain):
    loaded = policy.parse(GOOD.replace("when: any", f"when: {{agents: {plain}}}"), Path("p.yaml"))
    when = loaded.document.rules[1].when
    assert when is not None
    assert when.agents == (plain,)


@pytest.mark.parametrize(
    ("written", "seconds"), [("90s", 90), ("15m", 900), ("1h30m", 5400), ("7d", 604800), ("1d", 86400)]
)
def test_durations(written, seconds):
    loaded = policy.parse(GOOD.replace("1h30m", written), Path("p.yaml"))
    assert loaded.document.approval.expires == seconds


@pytest.mark.parametrize("written", ["0s", "8d", "m", "''", "90", "1m30", "-5m", "1.5h", "5 m", "null"])
def test_what_is_no_duration(written):
    assert "p.yaml:8:" in str(refusal(GOOD.replace("1h30m", written)))


@given(st.text(max_size=300))
def test_any_text_loads_or_is_refused_in_words(text):
    with pytest.raises(ConfigurationError) as caught:
        policy.parse(text, Path("p.yaml"))
    assert caught.value.problems


@given(st.integers(0, len(GOOD)), st.integers(0, 40), st.text(max_size=8))
def test_any_slip_loads_or_is_refused_in_words(at, length, typed):
    text = GOOD[:at] + typed + GOOD[at + length :]
    with suppress(ConfigurationError):
        policy.parse(text, Path("p.yaml"))


NESTED = [(), ("when",), ("approval",)]
KEYS = [
    (*path, key)
    for path, model in zip(NESTED, (Rule, When, Approval), strict=True)
    for key in model.model_fields
]


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_a_key_with_nothing_behind_it_is_an_error(path):
    rule = {"name": "third", "hold": "read", "why": "it", "when": {"agents": "x"}, "approval": {"quorum": 1}}
    inner = rule[path[0]] if len(path) > 1 else rule
    inner[path[-1]] = None
    data = yaml.safe_load(GOOD)
    data["rules"].append(rule)
    error = refusal(yaml.safe_dump(data))
    assert f"rules[2].{'.'.join(path)}" in {problem.field for problem in error.problems}


def test_where_and_when_people_are_asked():
    text = GOOD.replace(
        "expires: 1h30m}",
        'expires: 1h30m, channels: "slack:C0AB", remind: 5m, '
        'escalate: {after: 10m, groups: security, channels: ["slack:C0CD", "teams:19:x@thread.tacv2"]}}',
    ).replace("groups: [dba, security]", f"groups: [dba, security], teams: {USER}", 1)
    loaded = policy.parse(text, Path("p.yaml"))
    needed = requirement(None, loaded.document.approval)
    assert (needed.channels, needed.remind) == (("slack:C0AB",), 300.0)
    assert loaded.by_teams("", USER) == "dana@example.com"
    assert loaded.by_teams(USER, USER) is None
    assert loaded.accounts(["security"], "slack") == [("dana@example.com", (("", "U012AB3CD"),))]
    assert needed.escalation == Escalation(600.0, ("security",), ("slack:C0CD", "teams:19:x@thread.tacv2"))


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("channels: C0AB", "is no channel"),
        ("channels: []", "write at least one"),
        ("escalate: {after: 10m}", "nobody else is asked"),
        ("remind: often", "remind"),
    ],
)
def test_what_is_wrong_about_asking_is_said(written, words):
    assert words in str(refusal(GOOD.replace("expires: 1h30m}", f"expires: 1h30m, {written}}}")))


def test_one_teams_user_is_one_person():
    shared = GOOD.replace("groups: dba,", f"groups: dba, teams: {USER},")
    shared = shared.replace("security],", f"security], teams: {{user: {USER}, tenant: {USER}}},")
    assert "another approver's Teams user" in str(refusal(shared))
    assert "is not an id of Microsoft Entra" in str(
        refusal(GOOD.replace("groups: dba,", "groups: dba, teams: x,"))
    )
