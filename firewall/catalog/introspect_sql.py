"""The queries that read a catalog; one for each kind of object, whatever the number of objects.

Every name is qualified and search_path is `pg_catalog, pg_temp` while they run, so that nothing that a
database's users made can stand in for what is meant here, and so that what Postgres prints (view
definitions, types, expressions) is qualified unless it is pg_catalog's. Written for Postgres 13 to 18.
"""

from __future__ import annotations

SESSION = """
SELECT pg_catalog.current_database()::pg_catalog.text AS database,
       pg_catalog.current_setting('server_version_num')::pg_catalog.int4 AS server_version,
       CURRENT_USER::pg_catalog.text AS role,
       pg_catalog.current_schemas(true)::pg_catalog.text[] AS search_path,
       ARRAY(SELECT s.name FROM pg_catalog.pg_show_all_settings() AS s WHERE s.setting <> ''
             ORDER BY 1)::pg_catalog.text[] AS settings,
       ARRAY(SELECT DISTINCT pg_catalog.split_part(k.entry, '=', 1)
             FROM pg_catalog.pg_db_role_setting AS r, pg_catalog.unnest(r.setconfig) AS k (entry)
             ORDER BY 1)::pg_catalog.text[] AS role_settings,
       ARRAY(SELECT n.nspname FROM pg_catalog.pg_namespace AS n
             WHERE NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
               AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_toast')
               AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_temp_')
             ORDER BY 1)::pg_catalog.text[] AS closed
"""

PIN_SEARCH_PATH = "SET LOCAL search_path = pg_catalog, pg_temp"

# relations of every schema but those of TOAST and of temporary tables
_RELATIONS = """
    pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n
        ON n.oid = c.relnamespace
       AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_toast')
       AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_temp_')
"""

# $1 to $2 (exclusive): of these OIDs, as in the queries for columns and functions
RELATIONS = f"""
SELECT c.oid, n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name,
       c.relkind::pg_catalog.text AS kind, c.reltuples AS rows,
       pg_catalog.pg_get_userbyid(c.relowner)::pg_catalog.text AS owner,
       COALESCE(d.description, '') AS comment, COALESCE(s.srvname::pg_catalog.text, '') AS server,
       CASE WHEN c.relkind IN ('v', 'm') THEN COALESCE(pg_catalog.pg_get_viewdef(c.oid), '') ELSE '' END
           AS definition
FROM {_RELATIONS}
LEFT JOIN pg_catalog.pg_description AS d
    ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
LEFT JOIN pg_catalog.pg_foreign_table AS t ON t.ftrelid = c.oid
LEFT JOIN pg_catalog.pg_foreign_server AS s ON s.oid = t.ftserver
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c', 'i', 'I') AND c.oid >= $1 AND c.oid < $2
ORDER BY n.nspname, c.relname
"""  # noqa: S608 — put together from constants

COLUMNS = f"""
SELECT a.attrelid AS relation, a.attname::pg_catalog.text AS name,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, a.attnum AS number,
       NOT a.attnotnull AS nullable,
       COALESCE(pg_catalog.pg_get_expr(e.adbin, e.adrelid), '') AS expression,
       COALESCE(d.description, '') AS comment, a.attgenerated <> '' AS generated
FROM pg_catalog.pg_attribute AS a
JOIN {_RELATIONS} ON c.oid = a.attrelid
LEFT JOIN pg_catalog.pg_attrdef AS e ON e.adrelid = a.attrelid AND e.adnum = a.attnum
LEFT JOIN pg_catalog.pg_description AS d
    ON d.objoid = a.attrelid AND d.objsubid = a.attnum
   AND d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
  AND a.attrelid >= $1 AND a.attrelid < $2
ORDER BY a.attrelid, a.attnum
"""  # noqa: S608 — put together from constants

CHILDREN = """
SELECT i.inhparent AS parent, i.inhrelid AS child
FROM pg_catalog.pg_inherits AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid AND c.relkind IN ('r', 'p', 'f')
ORDER BY i.inhparent, i.inhrelid
"""

# Internal triggers keep foreign keys; but up to Postgres 14 a partition's copies are marked internal too.
TRIGGERS = """
SELECT t.tgrelid AS relation, t.tgname::pg_catalog.text AS name, t.tgtype AS bits,
       n.nspname::pg_catalog.text AS function_schema, p.proname::pg_catalog.text AS function_name,
       COALESCE(pg_catalog.pg_get_triggerdef(t.oid), '') AS definition
FROM pg_catalog.pg_trigger AS t
JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE NOT t.tgisinternal
   OR (t.tgparentid <> 0 AND NOT pg_catalog.starts_with(p.proname::pg_catalog.text, 'RI_FKey_'))
ORDER BY t.tgrelid, t.tgname
"""

RULES = """
SELECT r.ev_class AS relation, r.rulename::pg_catalog.text AS name, r.ev_type::pg_catalog.text AS event,
       COALESCE(pg_catalog.pg_get_ruledef(r.oid), '') AS definition
FROM pg_catalog.pg_rewrite AS r
WHERE r.rulename <> '_RETURN'
ORDER BY r.ev_class, r.rulename
"""

# the expression of a partition key is a list where there are several; it stands as well after SELECT
CHECKS = """
SELECT k.conrelid AS relation, pg_catalog.pg_get_expr(k.conbin, k.conrelid) AS expression
FROM pg_catalog.pg_constraint AS k
WHERE k.contype = 'c' AND k.conrelid <> 0
UNION ALL
SELECT p.partrelid, pg_catalog.pg_get_expr(p.partexprs, p.partrelid)
FROM pg_catalog.pg_partitioned_table AS p
WHERE p.partexprs IS NOT NULL
ORDER BY 1, 2
"""

INDEXES = """
SELECT i.indrelid AS relation, pg_catalog.pg_get_indexdef(i.indexrelid) AS definition
FROM pg_catalog.pg_index AS i
WHERE i.indexprs IS NOT NULL OR i.indpred IS NOT NULL OR EXISTS (
    SELECT FROM pg_catalog.unnest(i.indclass) AS c (oid) WHERE c.oid >= 16384
)
ORDER BY i.indrelid, i.indexrelid
"""

POLICIES = """
SELECT p.polrelid AS relation, p.polname::pg_catalog.text AS name, p.polcmd::pg_catalog.text AS command,
       COALESCE(pg_catalog.pg_get_expr(p.polqual, p.polrelid), '') AS "using",
       COALESCE(pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), '') AS "check",
       CASE WHEN 0 = ANY (p.polroles) THEN '{}' ELSE ARRAY(
           SELECT pg_catalog.pg_get_userbyid(r.oid)::pg_catalog.text
           FROM pg_catalog.unnest(p.polroles) AS r (oid) ORDER BY 1
       ) END AS roles
FROM pg_catalog.pg_policy AS p
JOIN pg_catalog.pg_class AS c ON c.oid = p.polrelid AND c.relrowsecurity
ORDER BY p.polrelid, p.polname
"""

# in Postgres 14 and later: before, there are no expressions in statistics
STATISTICS = """
SELECT s.stxrelid AS relation, e.expression
FROM pg_catalog.pg_statistic_ext AS s,
     pg_catalog.unnest(pg_catalog.pg_get_statisticsobjdef_expressions(s.oid)) AS e (expression)
WHERE s.stxexprs IS NOT NULL
ORDER BY s.stxrelid, s.oid, e.expression
"""

EVENT_TRIGGERS = """
SELECT t.evtname::pg_catalog.text AS name, t.evtevent::pg_catalog.text AS event,
       n.nspname::pg_catalog.text AS function_schema, p.proname::pg_catalog.text AS function_name,
       COALESCE(t.evttags, '{}') AS tags
FROM pg_catalog.pg_event_trigger AS t
JOIN pg_catalog.pg_proc AS p ON p.oid = t.evtfoid
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE t.evtenabled <> 'D'
ORDER BY t.evtname
"""

TYPE_NAMES = """
SELECT t.oid, pg_catalog.format_type(t.oid, NULL) AS name
FROM pg_catalog.pg_type AS t
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
 AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_toast')
 AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_temp_')
WHERE t.oid >= 16384
ORDER BY t.oid
"""

TYPES = """
SELECT n.nspname::pg_catalog.text AS schema, t.typname::pg_catalog.text AS name,
       t.typtype::pg_catalog.text AS kind,
       COALESCE(CASE t.typtype WHEN 'd' THEN pg_catalog.format_type(t.typbasetype, NULL)
                               WHEN 'r' THEN pg_catalog.format_type(r.rngsubtype, NULL) END, '') AS "of",
       ARRAY(SELECT pg_catalog.pg_get_expr(k.conbin, 0) FROM pg_catalog.pg_constraint AS k
             WHERE k.contypid = t.oid AND k.contype = 'c' ORDER BY k.conname) AS checks,
       ARRAY(SELECT fn.nspname::pg_catalog.text || '.' || f.proname::pg_catalog.text
             FROM pg_catalog.pg_proc AS f
             JOIN pg_catalog.pg_namespace AS fn
                 ON fn.oid = f.pronamespace AND fn.nspname <> 'pg_catalog'
             WHERE f.oid IN (t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin, t.typmodout,
                             r.rngcanonical, r.rngsubdiff)
             ORDER BY 1) AS functions
FROM pg_catalog.pg_type AS t
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace AND n.nspname <> 'pg_catalog'
 AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_toast')
 AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_temp_')
LEFT JOIN pg_catalog.pg_range AS r ON r.rngtypid = t.oid
WHERE t.typtype <> 'c' AND NOT (t.typelem <> 0 AND t.typlen = -1 AND t.typtype = 'b')
ORDER BY 1, 2
"""

OPERATOR_CLASSES = """
SELECT n.nspname::pg_catalog.text AS schema, c.opcname::pg_catalog.text AS name,
       pg_catalog.format_type(c.opcintype, NULL) AS type,
       ARRAY(SELECT DISTINCT fn.nspname::pg_catalog.text || '.' || f.proname::pg_catalog.text
             FROM pg_catalog.pg_proc AS f
             JOIN pg_catalog.pg_namespace AS fn
                 ON fn.oid = f.pronamespace AND fn.nspname <> 'pg_catalog'
             WHERE f.oid IN (SELECT p.amproc FROM pg_catalog.pg_amproc AS p
                             WHERE p.amprocfamily = c.opcfamily)
                OR f.oid IN (SELECT o.oprcode FROM pg_catalog.pg_amop AS a
                             JOIN pg_catalog.pg_operator AS o ON o.oid = a.amopopr
                             WHERE a.amopfamily = c.opcfamily)
             ORDER BY 1) AS functions
FROM pg_catalog.pg_opclass AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.opcnamespace
WHERE c.oid >= 16384
ORDER BY 1, 2, 3
"""

FOREIGN_KEYS = """
SELECT k.confrelid AS relation, k.conrelid AS child, k.conkey AS columns,
       k.confdeltype::pg_catalog.text AS on_delete, k.confupdtype::pg_catalog.text AS on_update
FROM pg_catalog.pg_constraint AS k
WHERE k.contype = 'f'
ORDER BY k.confrelid, k.conrelid, k.conname
"""

_FUNCTIONS = """
SELECT n.nspname::pg_catalog.text AS schema, p.proname::pg_catalog.text AS name,
       l.lanname::pg_catalog.text AS language, p.provolatile::pg_catalog.text AS volatility,
       p.pronargs AS arguments, p.pronargdefaults AS defaulted, p.provariadic <> 0 AS variadic,
       pg_catalog.cardinality(p.proallargtypes) AS all_arguments,
       p.prosecdef AS security_definer, p.prokind::pg_catalog.text AS kind,
       COALESCE(pg_catalog.pg_get_function_result(p.oid), '') AS returns,
       p.proargmodes::pg_catalog.text[] AS modes, p.proargnames AS names,
       COALESCE(p.proconfig, '{{}}') AS settings,
       CASE WHEN p.pronargdefaults > 0 AND n.nspname <> 'pg_catalog'
            THEN COALESCE(pg_catalog.pg_get_expr(p.proargdefaults, 0), '') ELSE '' END AS defaults,
       CASE WHEN n.nspname = 'pg_catalog' THEN '{{}}' ELSE ARRAY(
           SELECT pg_catalog.format_type(t.oid, NULL) FROM pg_catalog.unnest(p.proargtypes) AS t (oid)
           WHERE t.oid >= 16384
       ) END AS takes,
       CASE WHEN p.prokind <> 'a' OR n.nspname = 'pg_catalog' THEN '{{}}' ELSE ARRAY(
           SELECT un.nspname::pg_catalog.text || '.' || u.proname::pg_catalog.text
           FROM pg_catalog.pg_aggregate AS a
           CROSS JOIN LATERAL (VALUES (a.aggtransfn), (a.aggfinalfn), (a.aggcombinefn), (a.aggserialfn),
               (a.aggdeserialfn), (a.aggmtransfn), (a.aggminvtransfn), (a.aggmfinalfn)) AS parts (oid)
           JOIN pg_catalog.pg_proc AS u ON u.oid = parts.oid
           JOIN pg_catalog.pg_namespace AS un ON un.oid = u.pronamespace
           WHERE a.aggfnoid = p.oid
       ) END AS uses,
       CASE WHEN l.lanname IN ('sql', 'plpgsql') THEN {body}
            WHEN l.lanname = 'internal' AND n.nspname <> 'pg_catalog' THEN p.prosrc
            ELSE '' END AS body
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
WHERE p.oid >= $1 AND p.oid < $2
ORDER BY n.nspname, p.proname, p.oid
"""

OPERATORS = """
SELECT n.nspname::pg_catalog.text AS schema, o.oprname::pg_catalog.text AS name,
       f.nspname::pg_catalog.text AS function_schema, p.proname::pg_catalog.text AS function_name
FROM pg_catalog.pg_operator AS o
JOIN pg_catalog.pg_namespace AS n ON n.oid = o.oprnamespace AND n.nspname <> 'pg_catalog'
JOIN pg_catalog.pg_proc AS p ON p.oid = o.oprcode
JOIN pg_catalog.pg_namespace AS f ON f.oid = p.pronamespace
ORDER BY n.nspname, o.oprname, o.oid
"""

CASTS = """
SELECT pg_catalog.format_type(k.castsource, NULL) AS source,
       pg_catalog.format_type(k.casttarget, NULL) AS target,
       f.nspname::pg_catalog.text AS function_schema, p.proname::pg_catalog.text AS function_name
FROM pg_catalog.pg_cast AS k
JOIN pg_catalog.pg_proc AS p ON p.oid = k.castfunc
JOIN pg_catalog.pg_namespace AS f ON f.oid = p.pronamespace AND f.nspname <> 'pg_catalog'
ORDER BY 1, 2
"""

# before Postgres 16 it is the member's own INHERIT that counts
ROLES = """
SELECT r.rolname::pg_catalog.text AS name, ARRAY(
           SELECT pg_catalog.pg_get_userbyid(m.roleid)::pg_catalog.text FROM pg_catalog.pg_auth_members AS m
           WHERE m.member = r.oid GROUP BY m.roleid ORDER BY 1
       ) AS granted, ARRAY(
           SELECT pg_catalog.pg_get_userbyid(m.roleid)::pg_catalog.text FROM pg_catalog.pg_auth_members AS m
           WHERE m.member = r.oid AND COALESCE(
               (pg_catalog.to_jsonb(m) ->> 'inherit_option')::pg_catalog.bool, r.rolinherit
           )
       ) AS inherited
FROM pg_catalog.pg_roles AS r
ORDER BY r.rolname
"""

# extensions with schema and version, foreign servers with their wrapper
OUTSIDE = """
SELECT 'extension' AS sort, e.extname::pg_catalog.text AS name, n.nspname::pg_catalog.text AS of,
       e.extversion AS version
FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
UNION ALL
SELECT 'server', s.srvname::pg_catalog.text, w.fdwname::pg_catalog.text, ''
FROM pg_catalog.pg_foreign_server AS s
JOIN pg_catalog.pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw
ORDER BY 1, 2
"""

_NO_STATISTICS = "SELECT 0::pg_catalog.oid AS relation, ''::pg_catalog.text AS expression WHERE false"
STANDARD_BODIES_SINCE = 140000  # CREATE FUNCTION … BEGIN ATOMIC, kept parsed instead of as text


def statistics(server_version: int) -> str:
    """The query for the expressions of extended statistics."""
    return STATISTICS if server_version >= STANDARD_BODIES_SINCE else _NO_STATISTICS


def functions(server_version: int) -> str:
    """The query for functions, procedures and aggregates of a server of this version."""
    text = "p.prosrc"
    if server_version >= STANDARD_BODIES_SINCE:
        text = "COALESCE(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc)"
    return _FUNCTIONS.format(body=text)
