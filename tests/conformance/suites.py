"""Drivers' own test suites, from their source distributions, by pytest on both sides.

A test that fails directly does not count. One that fails only through the firewall is run again, on both
sides, because some are about time; what fails again is a difference.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import psycopg

from tests.conformance import accepted, transcript
from tests.conformance.cache import Cache, Missing
from tests.conformance.result import Result, skipped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.conformance.pair import Pair, Side

SUITE = "suite"
TIMEOUT = 3600.0
TEST_SECONDS = 60
_RANGES = ("Int8", "Num", "Date", "DateTime")
_RUNNER = ("pytest==8.4.2", "pytest-timeout==2.4.0")


@dataclass(frozen=True, slots=True)
class Suite:
    """One driver's tests.

    packages: what to install; the first is the driver itself. tests: copied out of the source distribution
    `source`, so that the installed driver is tested; run: what pytest is told to run, `{dsn}` filled in.
    setup: what the database needs. alike: outcomes are only compared, whatever the suite needs is missing.
    """

    name: str
    source: tuple[str, str]
    packages: tuple[str, ...]
    tests: tuple[str, ...]
    run: tuple[str, ...]
    setup: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def database(self) -> str:
        return f"suite_{self.name}"


SUITES = (
    Suite(
        "psycopg2",
        ("psycopg2", "2.9.13"),
        ("psycopg2-binary==2.9.13",),
        ("tests",),
        ("tests",),
        environment={"PSYCOPG2_TESTDB": "suite_psycopg2", "PSYCOPG2_TEST_FAST": "1"},
    ),
    Suite(
        "asyncpg",
        ("asyncpg", "0.32.0"),
        ("asyncpg==0.32.0", "uvloop", "distro"),
        ("tests",),
        ("tests", "--ignore=tests/test__sourcecode.py", "--ignore=tests/test_subinterpreters.py"),
    ),
    Suite(
        "pg8000",
        ("pg8000", "1.31.6"),
        ("pg8000==1.31.6", "pytz", "pytest-benchmark", "pytest-mock"),
        ("test",),
        # what is in auth/ needs a server that is configured for each of its files
        (
            *("test/dbapi", "test/native", "test/legacy", "--benchmark-disable"),
            *(f"--ignore=test/{way}/auth" for way in ("dbapi", "native", "legacy")),
        ),
    ),
    *(
        Suite(
            f"sqlalchemy_{driver}",
            ("sqlalchemy", "2.1.9"),
            ("sqlalchemy==2.1.9", package, "greenlet", "typing-extensions"),
            ("test", "lib", "setup.cfg", "pyproject.toml"),
            (
                *("test/dialect/test_suite.py", "test/dialect/postgresql"),
                *("--dburi", f"postgresql+{driver}://{{address}}/suite_sqlalchemy_{driver}"),
                *("-p", "no:warnings", "--nomemory", "--notimingintensive"),
                # 1,228 tests of each range type are the same but for the type: two types are enough
                *("-k", f"not ({' or '.join(f'{kind}RangeRoundTrip' for kind in _RANGES)})"),
            ),
            setup=(
                *("CREATE SCHEMA test_schema", "CREATE SCHEMA test_schema_2"),
                *("CREATE EXTENSION hstore", "CREATE EXTENSION citext"),
            ),
        )
        for driver, package in (("psycopg", "psycopg[binary]==3.3.9"), ("asyncpg", "asyncpg==0.32.0"))
    ),
)


async def compare(pair: Pair, suite: Suite, cache: Cache, folder: Path) -> Result:
    """Run a suite on both sides at once. `folder` is for scratch."""
    started = time.monotonic()
    try:
        packages = (*suite.packages, *_RUNNER)
        python = await asyncio.to_thread(cache.python, suite.name, packages)
        source = await asyncio.to_thread(cache.sdist, *suite.source)
    except Missing as missing:
        return skipped(SUITE, suite.name, str(missing))
    homes = {side.name: folder / suite.name / side.name for side in pair.sides}
    for side in pair.sides:
        homes[side.name].mkdir(parents=True)
        for part in suite.tests:
            _copy(source / part, homes[side.name] / part)
        await asyncio.to_thread(_set_up, side, suite)
    await pair.app.gates[suite.database].refresh()

    async def run(side: Side, tests: Sequence[str] = ()) -> tuple[dict[str, str], transcript.Ran]:
        return await _run(python, homes[side.name], side, suite, tests)

    (direct, one), (through, other) = await asyncio.gather(*(run(side) for side in pair.sides))
    if one.code is None or other.code is None:
        # what was ended has no report: that says nothing of its tests
        words = tuple(_ended(ran, outcomes) for ran, outcomes in ((one, direct), (other, through)))
        return Result(SUITE, suite.name, "timeout", *words, seconds=time.monotonic() - started)
    said, also = one.text, other.text
    passed = {test for test, outcome in direct.items() if outcome == "passed"}
    known = accepted.failures(suite.name)
    broken = sorted(test for test in passed if through.get(test) != "passed")
    unknown = [test for test in broken if test not in known]
    if unknown and len(unknown) < len(passed) / 2:
        files = sorted({_file(test, homes["firewall"]) for test in unknown})
        (again, _), (second, ran) = await asyncio.gather(*(run(side, files) for side in pair.sides))
        also += ran.text
        unknown = [t for t in unknown if again.get(t) == "passed" and second.get(t) != "passed"]
    problems = [f"{test}: {through.get(test, 'not run')}\n{_about(test, also)}" for test in unknown]
    if not passed:
        problems.append(f"no test passed directly:\n{said[-3000:]}")
    reasons = sorted({known[test] for test in broken if test in known})
    stale = tuple(test for test in known if through.get(test) == "passed")
    word = "differs" if problems else "accepted" if reasons else "same"
    words = (_count(direct), _count(through))
    seconds = time.monotonic() - started
    return Result(SUITE, suite.name, word, *words, tuple(problems), tuple(reasons), stale, seconds)


async def _run(
    python: Path, home: Path, side: Side, suite: Suite, tests: Sequence[str]
) -> tuple[dict[str, str], transcript.Ran]:
    """Outcomes by test, and how pytest ended."""
    report = home / "report.xml"
    report.unlink(missing_ok=True)
    address = f"{side.user}:pw@127.0.0.1:{side.port}"
    options = [part.format(address=address) for part in suite.run]
    if tests:
        first_option = next((n for n, part in enumerate(options) if part.startswith("-")), len(options))
        options = [*tests, *options[first_option:]]
    command = [
        *(python, "-m", "pytest", *options, "-q", "--tb=short", "--no-header", "-p", "no:cacheprovider"),
        *(f"--timeout={TEST_SECONDS}", f"--junitxml={report}"),
    ]
    environment = {**side.environment(suite.database), **suite.environment}
    ran = await transcript.run(command, environment, timeout=TIMEOUT, folder=home)
    return (_outcomes(report) if report.exists() else {}), ran


def _ended(ran: transcript.Ran, outcomes: Mapping[str, str]) -> str:
    return f"ended after {TIMEOUT:.0f} s" if ran.code is None else _count(outcomes)


def _outcomes(report: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        tags = {child.tag for child in case}
        outcome = next((tag for tag in ("failure", "error", "skipped") if tag in tags), "passed")
        # a test and its teardown are two cases of one name: the worse one counts
        found[name] = outcome if found.get(name, "passed") == "passed" else found[name]
    return found


def _file(test: str, home: Path) -> str:
    """The file of a test, from the dotted name that JUnit's format has for it."""
    parts = test.split("::", 1)[0].split(".")
    while parts and not (home / "/".join(parts)).with_suffix(".py").exists():
        parts.pop()
    return "/".join(parts) + ".py"


def _about(test: str, text: str) -> str:
    """What pytest said of a failed test, cut short."""
    name = test.rsplit("::", 1)[-1]
    at = text.find(f"{name} _")
    return text[at : at + 1500] if at >= 0 else ""


def _count(outcomes: Mapping[str, str]) -> str:
    words = ("passed", "failure", "error", "skipped")
    return ", ".join(f"{n} {word}" for word in words if (n := list(outcomes.values()).count(word)))


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


def _set_up(side: Side, suite: Suite) -> None:
    with psycopg.connect(side.past.dsn(suite.database), autocommit=True) as admin:
        for statement in suite.setup:
            admin.execute(statement)
