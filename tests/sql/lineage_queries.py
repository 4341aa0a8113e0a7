"""Random queries over a few small relations of text columns; nearly all are valid.

`queries()` yields a query's text. Names are used as an analyst would, and also as an adversary would:
aliases called like columns, CTEs called like tables, whole rows, rows of rows.
"""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st

SCHEMA = """
CREATE TABLE t1 (a text, b text, c text);
CREATE TABLE t2 (a text, d text, e text);
CREATE TABLE t3 (b text, f text);
CREATE TABLE heir () INHERITS (t3);
INSERT INTO t1 VALUES ('1', 'x', 'p'), ('2', 'y', 'q'), ('3', 'x', NULL);
INSERT INTO t2 VALUES ('1', 'x', 'p'), ('2', 'z', 'q'), ('2', 'y', 'r');
INSERT INTO t3 VALUES ('x', 'p'), ('y', 'q');
INSERT INTO heir VALUES ('x', 's');
CREATE VIEW v AS SELECT t1.a, t2.e AS g, lower(t1.b) AS h FROM t1 JOIN t2 USING (a) WHERE t2.d <> 'w';
CREATE VIEW w AS SELECT v.g AS b, count(v.h)::text AS n, max(v.h) AS m
    FROM v GROUP BY v.g HAVING min(v.a) <> '9';
"""
RELATIONS = {"t1": "abc", "t2": "ade", "t3": "bf", "v": "agh", "w": "bnm"}
UNARY = (
    "lower({})",
    "({} IS NULL)",
    "(CASE {} WHEN 'x' THEN 1 ELSE 2 END)",
    "md5({})",
    "array_to_string(ARRAY[{}, 'x'], ',')",
    "ROW({}, 1)",
    "to_jsonb({})",
    "(to_jsonb(ROW({})) -> 'f1')",
    "(SELECT max(s.d) FROM t2 s WHERE s.a = {})",
    "(SELECT string_agg(r, '' ORDER BY r) FROM regexp_split_to_table({}, '') AS r)",
    "EXISTS (SELECT FROM t3 s WHERE s.b = {})",
    "({} = ANY (SELECT f FROM t3))",
    "({} IN (SELECT h FROM v))",
    "min({}) OVER ()",
    "count(*) OVER (PARTITION BY {})",
)
BINARY = (
    "({} || {})",
    "coalesce({}, {})",
    "nullif({}, {})",
    "({} LIKE {})",
    "(CASE WHEN {} > 'p' THEN {} END)",
    "greatest({}, {})",
    "concat({}, {})",
)
AGGREGATES = (
    "max({})",
    "count({})",
    "count(DISTINCT {})",
    "string_agg({0}, ',' ORDER BY {0})",
    "count(*) FILTER (WHERE {} > 'p')",
    "bool_or({} = 'x')",
    "max(lower({}))",
    "mode() WITHIN GROUP (ORDER BY {})",
)


class Named(NamedTuple):
    """A FROM item as names see it."""

    alias: str
    columns: tuple[str, ...]


class Writer:
    """Writes one query, choice by choice."""

    def __init__(self, draw):
        self.draw = draw
        self.count = 0
        self.ctes: dict[str, tuple[str, ...]] = {}

    def choose(self, *options):
        return self.draw(st.sampled_from(options))

    def chance(self, of_ten):
        return self.draw(st.integers(1, 10)) <= of_ten

    def alias(self):
        self.count += 1
        return self.choose(f"x{self.count}", f"x{self.count}", f"x{self.count}", "a", "b", "t1")

    def column(self, levels):
        level = levels[0] if len(levels) == 1 or self.chance(8) else self.choose(*levels[1:])
        if not level:
            return "'x'"
        item = self.choose(*level)
        name = self.choose(*item.columns)
        if self.chance(1):
            return f"{item.alias}::text"
        return name if self.chance(3) else f"{item.alias}.{name}"

    def text(self, levels, depth=2):
        """A value of type text."""
        if not depth or self.chance(4):
            return f"{self.column(levels)}::text" if self.chance(9) else "'x'"
        return f"{self.value(levels, depth)}::text"

    def value(self, levels, depth=2):
        if self.chance(5):
            return self.choose(*UNARY).format(self.text(levels, depth - 1))
        return self.choose(*BINARY).format(self.text(levels, depth - 1), self.text(levels, depth - 1))

    def condition(self, levels):
        left, right = self.column(levels), self.column(levels)
        return self.choose(
            f"{left}::text <> {right}::text",
            f"{left}::text IS NOT NULL",
            f"{left}::text = {right}::text",
            f"EXISTS (SELECT FROM t3 s WHERE s.f = {left}::text)",
            "true",
        )

    def item(self, levels, siblings, depth):
        """One FROM item: its text and its names."""
        alias = self.alias()
        kind = self.draw(st.integers(0, 11))
        if kind < 6 or (kind > 8 and not depth):
            name = self.choose(*RELATIONS, *self.ctes)
            columns = self.ctes.get(name) or tuple(RELATIONS[name])
            if self.chance(2):
                return name, Named(name, columns)
            if self.chance(2):
                return f"{name} AS {alias} (k)", Named(alias, ("k", *columns[1:]))
            return f"{name} AS {alias}", Named(alias, columns)
        if kind == 6:
            return f"(VALUES ('1', 'x'), ('2', 'y')) AS {alias} (a, b)", Named(alias, ("a", "b"))
        lateral = [siblings, *levels]
        if kind == 7:
            call = f"regexp_split_to_table({self.text(lateral)}, '')"
            return f"{call} AS {alias} (r)", Named(alias, ("r",))
        if kind == 8:
            shown = f"SELECT {self.text(lateral)} AS a, {self.text(lateral)} AS l"
            return f"LATERAL ({shown}) AS {alias}", Named(alias, ("a", "l"))
        text, columns = self.query(levels, depth - 1)
        return f"({text}) AS {alias}", Named(alias, columns)

    def joined(self, levels, depth):
        text, first = self.item(levels, [], depth)
        names = [first]
        for _ in range(self.draw(st.integers(0, 2))):
            other, added = self.item(levels, names, depth)
            names = [*names, added]
            side = self.choose("", "LEFT ", "RIGHT ", "FULL ") if "LATERAL" not in other + text else ""
            if "regexp_split" in other:
                side = ""
            shared = [c for c in added.columns if sum(c in n.columns for n in names) == 2]
            if shared and self.chance(5):
                text += f" {side}JOIN {other} USING ({shared[0]})"
            elif shared and self.chance(2):
                text += f" NATURAL {side}JOIN {other}"
            elif self.chance(5) and side != "FULL ":
                text += f" {side}JOIN {other} ON {self.condition([names[-2:], *levels])}"
            else:
                text += f", {other}" if self.chance(5) else f" CROSS JOIN {other}"
        return text, names

    def select(self, levels, depth, width=0):
        from_, names = self.joined(levels, depth)
        inside = [names, *levels]
        where = f" WHERE {self.condition(inside)}" if self.chance(5) else ""
        width = width or self.draw(st.integers(1, 3))
        if self.chance(2):
            key = self.column(inside)
            shown = [self.choose(*AGGREGATES).format(self.text([names], 1)) for _ in range(width)]
            columns = tuple(f"o{n}" for n in range(width))
            listed = ", ".join(f"({value})::text AS {c}" for value, c in zip(shown, columns, strict=True))
            having = f" HAVING max({self.text([names], 0)}) <> 'zz'" if self.chance(3) else ""
            return f"SELECT {listed} FROM {from_}{where} GROUP BY {key}::text{having}", columns
        distinct = "DISTINCT " if self.chance(1) else ""
        shown = [self.text(inside) for _ in range(width)]
        columns = tuple(self.choose("a", "b", "d", "o") + str(n) * bool(n) for n in range(width))
        listed = ", ".join(f"{value} AS {c}" for value, c in zip(shown, columns, strict=True))
        return f"SELECT {distinct}{listed} FROM {from_}{where}", columns

    def query(self, levels, depth):
        text, columns = self.select(levels, depth)
        if self.chance(2):
            other, _ = self.select(levels, 0, width=len(columns))
            text += f" {self.choose('UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT ALL')} {other}"
        if self.chance(2):
            text += f" ORDER BY {self.choose('1', columns[0])}"
        return text, columns

    def whole(self):
        """A query with what only stands at the top: WITH, and stars of every kind."""
        before = ""
        if self.chance(4):
            name = self.choose("c1", "t1", "v")
            text, columns = self.select([], 1)
            if self.chance(3):
                step = ", ".join(f"left({c}, 2) || 1" for c in (*columns[1:], columns[0]))
                text += f" UNION SELECT {step} FROM {name}"
                before = f"WITH RECURSIVE {name} ({', '.join(columns)}) AS ({text}) "
            else:
                before = f"WITH {name} AS ({text}) "
            self.ctes[name] = columns
        if self.chance(3):
            from_, names = self.joined([], 2)
            alias = self.choose(*names).alias
            star = self.choose(
                "*", f"{alias}.*", f"({alias}).*", alias, f"row_to_json({alias})::text", f"count({alias})"
            )
            where = f" WHERE {self.condition([names])}" if self.chance(5) else ""
            return f"{before}SELECT {star} FROM {from_}{where}"
        return before + self.query([], 2)[0]


@st.composite
def queries(draw):
    """A query's text."""
    return Writer(draw).whole()
