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
    *("pg_event_trigger", "pg_statistic_ext"),
    *("pg_description", "pg_enum", "pg_index", "pg_inherits", "pg_language", "pg_namespace", "pg_opclass"),
    *("pg_operator", "pg_opfamily", "pg_partitioned_table", "pg_policy", "pg_proc", "pg_range"),
    *("pg_rewrite", "pg_trigger", "pg_ts_config", "pg_ts_dict", "pg_type"),
)


def _sum(catalog: str) -> str:
    estimate = " || ',' || c.reltuples::pg_catalog.text" if catalog == "pg_class" else ""
    version = f"c.xmin::pg_catalog.text || c.ctid::pg_catalog.text{estimate}"
    return (
        f"(SELECT pg_catalog.count(*)::pg_catalog.text || ':' || COALESCE(pg_catalog.sum("  # noqa: S608
        f"pg_catalog.hashtextextended({version}, 0)), 0)::pg_catalog.text FROM pg_catalog.{catalog} AS c)"
    )


# roles are read through a view, whose rows have no version
_ROLES = """(
    SELECT pg_catalog.md5(pg_catalog.string_agg(
        r.oid::pg_catalog.text || ',' || r.rolname::pg_catalog.text || ',' || r.rolsuper::pg_catalog.text
            || ',' || r.rolinherit::pg_catalog.text, ';' ORDER BY r.oid
    )) FROM pg_catalog.pg_roles AS r
)"""

MARK: Final = f"SELECT pg_catalog.concat_ws(' ', {', '.join(map(_sum, CATALOGS))}, {_ROLES}) AS mark"
