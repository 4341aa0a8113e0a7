"""Files that policies share: found, merged, and blamed where they are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from firewall import policy
from firewall.errors import ConfigurationError
from firewall.policy.include import MAX_FILES

if TYPE_CHECKING:
    from pathlib import Path

MAIN = """\
version: 1
default: hold
include: [shared/labels.yaml, shared/people.yaml]
labels:
  pii.email: contacts.mail
approval: {groups: [dba]}
rules:
  - {name: reads, allow: read, when: {selectors: analysts, environments: staging}, why: because}
"""
FILES = {
    "main.yaml": MAIN,
    "shared/labels.yaml": "labels:\n  pii.email: ['*email*']\n  pci.pan: [pan]\n",
    "shared/people.yaml": "include: ../more.yaml\napprovers:\n  dana@example.com: {groups: [dba]}\n",
    "more.yaml": "environments: [production, staging]\nselectors:\n  analysts: {teams: [bi]}\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        write(tmp_path, name, text)
    return tmp_path


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def refusal(folder: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        policy.load(folder / "main.yaml")
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def test_what_they_give_counts(folder):
    loaded = policy.load(folder / "main.yaml")
    assert loaded.labels_of("public.contacts", "mail") == ("pii.email",)
    assert loaded.labels_of("public.orders", "email_address") == ("pii.email",)
    assert loaded.labels_of("public.orders", "pan") == ("pci.pan",)
    assert loaded.person("dana@example.com") is not None
    subject = policy.Subject("a", "o", "d", environment="staging", team="bi")
    rule = loaded.document.rules[0]
    assert rule.when is not None
    assert rule.when.selectors == ("analysts",)
    assert [r.concerns(subject) for r in loaded.rules] == [True]
    assert [r.concerns(policy.Subject("a", "o", "d", environment="staging")) for r in loaded.rules] == [False]


def test_the_revision_does_not_tell_where_things_stand(folder):
    first = policy.load(folder / "main.yaml").revision
    alone = MAIN.replace("include: [shared/labels.yaml, shared/people.yaml]\n", "").replace(
        "  pii.email: contacts.mail\n", "  pii.email: [contacts.mail, '*email*']\n  pci.pan: [pan]\n"
    )
    write(folder, "main.yaml", alone + FILES["more.yaml"] + FILES["shared/people.yaml"].partition("\n")[2])
    assert policy.load(folder / "main.yaml").revision == first
    write(folder, "more.yaml", FILES["more.yaml"].replace("bi", "sales"))
    write(folder, "main.yaml", MAIN)
    assert policy.load(folder / "main.yaml").revision != first


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "more.yaml",
            "include: main.yaml\n",
            "more.yaml:1:10: `include`: `main.yaml` includes this file, directly or through others",
        ),
        (
            "more.yaml",
            "include: [./shared/../more.yaml]\n",
            "more.yaml:1:11: `include[0]`: `./shared/../more.yaml` includes this file",
        ),
        (
            "more.yaml",
            "include: absent.yaml\n",
            "more.yaml:1:10: `include`: `absent.yaml`: there is no such file beside `more.yaml`; write",
        ),
        (
            "more.yaml",
            "rules: []\n",
            (
                "more.yaml:1:1: `rules`: `rules` is not a key here; the keys here are include, environments,"
                " labels, approvers, selectors"
            ),
        ),
        (
            "more.yaml",
            "labels: {x: 'a.b.c.d'}\n",
            "more.yaml:1:13: `labels.x[0]`: `a.b.c.d` has 4 parts; write at most `schema.table.column`",
        ),
        ("more.yaml", "labels: [", "more.yaml:2:1: this is not YAML"),
        (
            "more.yaml",
            FILES["more.yaml"] + "approvers:\n  dana@example.com: {groups: [security]}\n",
            "more.yaml:5:3: `approvers.dana@example.com`: `dana@example.com` is in `shared/people.yaml:3:3`",
        ),
        (
            "more.yaml",
            "environments: production\nselectors:\n  analyst: {teams: [bi]}\n",
            (
                "main.yaml:8:50: `rules[0].when.selectors`: nothing under `selectors` is called `analysts`;"
                " did you mean `analyst`?"
            ),
        ),
    ],
)
def test_what_is_wrong_is_told_where_it_stands(folder, name, text, said):
    write(folder, name, text)
    assert any(line.startswith(said) for line in refusal(folder)), refusal(folder)


def test_one_slack_account_in_two_files_is_one_too_many(folder):
    slack = "{groups: [dba], slack: U012AB3CD}"
    write(folder, "shared/people.yaml", f"approvers:\n  dana@example.com: {slack}\n")
    write(folder, "shared/labels.yaml", f"approvers:\n  sam@example.com: {slack}\n")
    write(folder, "main.yaml", MAIN.replace(", when: {selectors: analysts, environments: staging}", ""))
    [line] = refusal(folder)
    assert "`U012AB3CD` is another approver's Slack user already" in line
    assert line.startswith("shared/")


def test_a_file_reached_twice_is_read_once(folder):
    write(folder, "shared/labels.yaml", FILES["shared/labels.yaml"] + "include: ../more.yaml\n")
    loaded = policy.load(folder / "main.yaml")
    assert len(loaded.source.included) == 3


def test_their_number_is_bounded(folder):
    for number in range(MAX_FILES + 1):
        write(folder, f"{number}.yaml", "labels: {}\n")
    names = ", ".join(f"{number}.yaml" for number in range(MAX_FILES + 1))
    write(folder, "more.yaml", f"include: [{names}]\n")
    assert f"more than {MAX_FILES} files are included" in "\n".join(refusal(folder))


def test_an_include_that_is_no_text_is_refused(folder):
    write(folder, "more.yaml", "include: [{a: b}, 5]\n")
    assert [line.partition(": `")[0] for line in refusal(folder)] == ["more.yaml:1:11", "more.yaml:1:19"]
