"""Whether a catalog has changed since it was last read, for a hundredth of what reading it costs.

Every row version of a catalog has its inserting transaction and its place (`xmin`, `ctid`; manual 5.6): what
was inserted, updated or deleted changes the sum over them. Only pg_class is also updated in place, by ANALYZE
and VACUUM, so its row estimates count as well. Written for Postgres 13 to 18.
"""

from __future__ import annotations

from typing import Final

# every catalog that the queries of introspect_sql.py read, or that what they call depends on
CATALOGS: Final = (
    *("pg_aggregate", "pg_am", "pg_amop", "pg_amproc", "pg_attrdef", "pg_attribute", "pg_auth_members"),
    *("pg_cast", "pg_class", "pg_collation", "pg_constraint", "pg_database", "pg_db_role_setting"),
    *("pg_event_trigger", "pg_extension", "pg_foreign_data_wrapper", "pg_foreign_server", "pg_foreign_table"),
    "pg_statistic_ext",
    *("pg_description", "pg_enum", "pg_index", "pg_inherits", "pg_language", "pg_namespace", "pg_opclass"),
    *("pg_operator", "pg_opfamily", "pg_partitioned_table", "pg_policy", "pg_proc", "pg_range"),
    *("pg_rewrite", "pg_trigger", "pg_ts_config", "pg_ts_dict", "pg_type"),
)


# what initdb made is numbered below this (FirstNormalObjectId, src/include/access/transam.h)
FIRST_OID: Final = 16384
# what it made of functions and relations, what they are printed by, and which column says whose each row is
_BUILT_IN: Final = {
    **dict.fromkeys(("pg_cast", "pg_class", "pg_collation", "pg_constraint", "pg_language"), "oid"),
    **dict.fromkeys(("pg_namespace", "pg_operator", "pg_proc", "pg_rewrite", "pg_ts_config"), "oid"),
    **dict.fromkeys(("pg_ts_dict", "pg_type"), "oid"),
    "pg_aggregate": "aggfnoid",
    "pg_attrdef": "adrelid",
    "pg_attribute": "attrelid",
    "pg_description": "objoid",
}
# what may be attached to a relation: where it is, the relation's column, and its own
_ATTACHED: Final = (
    ("pg_attrdef", "adrelid", "oid"),
    *(("pg_constraint", "conrelid", "oid"), ("pg_constraint", "confrelid", "oid")),
    *(("pg_index", "indrelid", "indexrelid"), ("pg_inherits", "inhparent", "inhrelid")),
    *(("pg_policy", "polrelid", "oid"), ("pg_rewrite", "ev_class", "oid")),
    *(("pg_statistic_ext", "stxrelid", "oid"), ("pg_trigger", "tgrelid", "oid")),
)


def _sums(catalog: str) -> str:
    """Of the whole catalog, and of what initdb made: an array of two texts."""
    estimate = " || ',' || c.reltuples::pg_catalog.text" if catalog == "pg_class" else ""
    version = f"c.xmin::pg_catalog.text || c.ctid::pg_catalog.text{estimate}"
    built_in = f"c.{_BUILT_IN[catalog]}::pg_catalog.oid < {FIRST_OID}" if catalog in _BUILT_IN else "false"
    return f"""(
        SELECT ARRAY[
            pg_catalog.concat_ws(':', pg_catalog.count(*), pg_catalog.sum(v.hash)),
            pg_catalog.concat_ws(':', pg_catalog.sum(v.hash) FILTER (WHERE {built_in}))
        ]
        FROM pg_catalog.{catalog} AS c
        CROSS JOIN LATERAL (SELECT pg_catalog.hashtextextended({version}, 0) AS hash) AS v
    )"""  # noqa: S608 — put together from constants


# roles are read through a view, whose rows have no version
_ROLES = """(
    SELECT pg_catalog.md5(pg_catalog.string_agg(
        r.oid::pg_catalog.text || ',' || r.rolname::pg_catalog.text || ',' || r.rolsuper::pg_catalog.text
            || ',' || r.rolinherit::pg_catalog.text, ';' ORDER BY r.oid
    )) FROM pg_catalog.pg_roles AS r
)"""
_OWNERS = f"""(
    SELECT pg_catalog.string_agg(DISTINCT pg_catalog.pg_get_userbyid(c.relowner)::pg_catalog.text, ' ')
    FROM pg_catalog.pg_class AS c WHERE c.oid < {FIRST_OID}
)"""  # noqa: S608 — put together from constants
_DEPENDENT = "{pg_class, pg_constraint, pg_operator, pg_proc, pg_rewrite, pg_type}"
_MORE = " OR ".join(
    f"EXISTS (SELECT FROM pg_catalog.{catalog} AS c"
    f" WHERE c.{relation} <> 0 AND c.{relation} < {FIRST_OID} AND c.{own} >= {FIRST_OID})"
    for catalog, relation, own in _ATTACHED
)

# `sums` has two for each catalog: of everything, and of what initdb made, which hardly ever changes. `more`:
# somebody has attached something to what initdb made, or has made a part of it depend on what was not
# there then, so that what is read of it may change without it.
MARKS: Final = f"""
SELECT ARRAY[{", ".join(map(_sums, CATALOGS))}] AS sums, {_ROLES} AS roles, {_OWNERS} AS owners,
       {_MORE} OR EXISTS (
           SELECT FROM pg_catalog.pg_depend AS d
           WHERE d.classid = ANY ('{_DEPENDENT}'::pg_catalog.regclass[])
             AND d.objid < {FIRST_OID} AND d.refobjid >= {FIRST_OID}
       ) AS more
"""  # noqa: S608 — put together from constants
