"""What every change of the catalog sets off: event triggers (manual 38)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from firewall.sql import grammar
from firewall.sql.functions import run
from firewall.sql.rows import ROWS

if TYPE_CHECKING:
    from firewall.sql.grammar import Parsed
    from firewall.sql.names import Scope
    from firewall.sql.walk import Walk

# of connections, which no statement makes
_ELSEWHERE = frozenset({"login"})
# statements that no event trigger sees: they change no catalog, or one that all databases share (manual 38.2)
_UNSEEN = grammar.words(
    """
    insert_stmt update_stmt delete_stmt merge_stmt truncate_stmt copy_stmt call_stmt do_stmt explain_stmt
    declare_cursor_stmt prepare_stmt execute_stmt transaction_stmt constraints_set_stmt variable_set_stmt
    variable_show_stmt deallocate_stmt discard_stmt close_portal_stmt fetch_stmt notify_stmt listen_stmt
    unlisten_stmt lock_stmt vacuum_stmt cluster_stmt check_point_stmt load_stmt alter_system_stmt
    createdb_stmt dropdb_stmt alter_database_stmt alter_database_set_stmt alter_database_refresh_coll_stmt
    grant_role_stmt create_role_stmt alter_role_stmt alter_role_set_stmt drop_role_stmt
    create_table_space_stmt drop_table_space_stmt alter_table_space_options_stmt
    create_event_trig_stmt alter_event_trig_stmt
    """
)
# The tags of some statements; any other may have any tag.
_TAGS: dict[str, tuple[str, ...]] = {
    "select_stmt": ("SELECT INTO",),
    "create_table_as_stmt": ("CREATE TABLE AS", "SELECT INTO", "CREATE MATERIALIZED VIEW"),
    "create_stmt": ("CREATE TABLE",),
    "view_stmt": ("CREATE VIEW",),
    "index_stmt": ("CREATE INDEX",),
    "comment_stmt": ("COMMENT",),
}


def set_off(walk: Walk, statement: Parsed, scope: Scope) -> None:
    """The event triggers that the statement sets off."""
    node = grammar.node_name(statement.kind)
    if node in _UNSEEN or node not in ROWS or (node == "select_stmt" and "intoClause" not in statement.tree):
        return
    tags = _TAGS.get(node)
    for trigger in walk.snapshot.event_triggers:
        if trigger.event in _ELSEWHERE or (trigger.tags and tags and not {*trigger.tags} & {*tags}):
            continue
        run(
            walk, trigger.function, replace(scope, via=f"event trigger {trigger.name}", depth=scope.depth + 1)
        )
