"""Rows for the regression suite's own tables: its data files are not part of the SQL.

Made by formula, in the shape that the tests rely on: unique1 a permutation, unique2 sequential, the other
columns remainders of unique1, so that joins, cursors and EXPLAIN have something to work with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_STRING4 = ("AAAAxx", "HHHHxx", "OOOOxx", "VVVVxx")


def write(folder: Path) -> None:
    """Write the data files that most tests need. Readable for the server, whoever it runs as."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "onek.data").write_text(_numbered(1000))
    (folder / "tenk.data").write_text(_numbered(10000))
    (folder / "agg.data").write_text("56\t7.8\n100\t99.097\n0\t0.09561\n42\t324.78\n")
    (folder / "person.data").write_text("".join(f"p{n}\t{20 + n % 60}\t({n},{n % 7})\n" for n in range(50)))
    (folder / "emp.data").write_text("e1\t25\t(10,11)\t600\te2\ne2\t40\t(1,2)\t1000\te3\n")
    (folder / "student.data").write_text("s1\t19\t(3,4)\t3.4\ns2\t23\t(5,6)\t2.9\n")
    (folder / "stud_emp.data").write_text("b1\t25\t(10,12)\t400\te1\t2.8\t10\n")
    (folder / "desc.data").write_text("".join(f"{n % 26}\t{_name(n)}\n" for n in range(400)))
    (folder / "hash.data").write_text("".join(f"{n * 7919 % 99991}\t{_name(n)}\n" for n in range(1000)))
    (folder / "constro.data").write_text("4\t!check failed\t5\n5\tcheck ok\t6\n")
    (folder / "constrf.data").write_text("4\t!check failed\t5\n7\tcheck failed\t6\n")
    streets = "".join(
        f"{('I- ', 'State Hwy ', 'Oak ')[min(n % 5, 2)]}{n}\t[({n},{n % 9}),({n + 1},{n % 7})]\n"
        for n in range(300)
    )
    (folder / "streets.data").write_text(streets)
    jsonb = "".join(f'{{"line":{n}, "wait":"{_name(n)[:2]}", "age":{n % 30}}}\n' for n in range(1000))
    (folder / "jsonb.data").write_text(jsonb)
    arrays = "".join(f"{n}\t{{{n % 10},{n % 17}}}\t{{{_name(n)},{_name(n + 1)}}}\n" for n in range(100))
    (folder / "array.data").write_text(arrays)


def _numbered(count: int) -> str:
    return "".join(_row(n * 7919 % count, n) for n in range(count))


def _row(one: int, two: int) -> str:
    numbers = (
        *(one, two, one % 2, one % 4, one % 10, one % 20, one % 100, one % 1000),
        *(one % 2000, one % 5000, one % 10000, one % 100 * 2, one % 100 * 2 + 1),
    )
    return "\t".join((*map(str, numbers), _name(one), _name(two), _STRING4[two % 4])) + "\n"


def _name(number: int) -> str:
    letters = ""
    for _ in range(3):
        letters = _LETTERS[number % 26] + letters
        number //= 26
    return f"{letters[::-1]}AAAA"[:6].ljust(6, "A")
