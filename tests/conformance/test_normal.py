"""What makes two transcripts equal, what does not, and what is accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance import accepted, data
from tests.conformance.normal import Hunk, differences, normalised, steady

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CREATE TABLE pg_temp_3.x", "CREATE TABLE pg_temp_11.x"),
        ("server process with PID 4242", "server process with PID 17"),
        ("Time: 1.234 ms", "Time: 22.1 ms"),
        ("(actual time=0.01..0.02 rows=3)", "(actual time=1.5..2.25 rows=3)"),
        ("   Buffers: shared hit=154", "   Buffers: shared hit=159 read=2"),
        ("Sun Nov 22 19:23:36.123456 2026 PST", "Mon Nov 23 01:02:03.4 2026 PST"),
        ("COPY FROM '/tmp/x/files-d/t'", "COPY FROM '/tmp/x/files-f/t'"),
    ],
)
def test_what_no_two_runs_have_in_common_is_no_difference(one, other):
    assert normalised(one, "/tmp/x/files-d") == normalised(other, "/tmp/x/files-f")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ERROR:  division by zero", "ERROR:  division by one"),
        ("(3 rows)", "(4 rows)"),
        ("rows=3", "rows=4"),
        ("LINE 1: SELECT x\n               ^", "LINE 1: SELECT x\n              ^"),
        ("1997-01-01 00:00:00", "1997-01-02 00:00:00"),
        ("Sat Jan 01 00:00:00 2000 PST", "Sat Jan 02 00:00:00 2000 PST"),
        ("42", "43"),
    ],
)
def test_everything_else_is(one, other):
    assert differences(normalised(one), normalised(other))


def test_a_place_where_two_direct_runs_differ_is_no_difference():
    direct = ["a", "random 1", "b", "c"]
    through = differences(direct, ["a", "random 2", "b", "d"])
    noise = differences(direct, ["a", "random 3", "b", "c"])
    assert steady(through, noise) == [Hunk(3, 4, ("c",), ("d",))]


def test_accepted_differences_are_told_apart_from_others(tmp_path: Path):
    (tmp_path / "regress").mkdir()
    (tmp_path / "regress/x.accepted").write_text("# by design\n# of the firewall\n-a\n+b\n\n-gone\n")
    one, two = Hunk(0, 1, ("a",), ("b",)), Hunk(5, 6, ("a",), ("c",))
    weighed = accepted.weigh([one, two], "regress", "x", tmp_path)
    assert weighed == accepted.Weighed(("-a\n+c",), ("by design of the firewall",), ("-gone",))


def test_what_follows_from_an_accepted_difference_is_accepted_and_what_comes_before_is_not(tmp_path: Path):
    (tmp_path / "regress").mkdir()
    (tmp_path / "regress/x.accepted").write_text("# refused\n+no\n…\n")
    before, first, after = (Hunk(n, n, (), (text,)) for n, text in enumerate(("odd", "no", "later")))
    assert accepted.weigh([first, after], "regress", "x", tmp_path).unexplained == ()
    assert accepted.weigh([before, first, after], "regress", "x", tmp_path).unexplained == ("+odd",)


def test_nothing_is_accepted_without_a_reason(tmp_path: Path):
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites/x.accepted").write_text("tests.a::b\n")
    with pytest.raises(ValueError, match="without a reason"):
        accepted.failures("x", tmp_path)


def test_every_file_of_accepted_differences_can_be_read():
    found = list(accepted.FOLDER.glob("*/*.accepted"))
    assert found
    assert all(accepted.paragraphs(path) for path in found)


def test_rows_for_the_suites_tables_are_permutations(tmp_path: Path):
    data.write(tmp_path)
    rows = [line.split("\t") for line in (tmp_path / "tenk.data").read_text().splitlines()]
    assert sorted(int(row[0]) for row in rows) == list(range(10_000))
    assert {len(row) for row in rows} == {16}
