"""What a session does to itself: settings, roles, transactions, notifications, and the facts they change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from firewall.sql.analysis import Kind, ObjectType
from firewall.sql.calls import setting, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firewall.sql.grammar import Parsed
    from firewall.sql.names import Scope
    from firewall.sql.walk import Handler, Walk

_WHO = frozenset({"role", "session_authorization"})
_UNDOING = frozenset({"TRANS_STMT_ROLLBACK", "TRANS_STMT_ROLLBACK_TO"})
_TWO_PHASE = frozenset({"TRANS_STMT_PREPARE", "TRANS_STMT_COMMIT_PREPARED", "TRANS_STMT_ROLLBACK_PREPARED"})


def _value(arguments: list[Any]) -> str | None:
    """The value in SET's own list: one constant, or None where it is more than that."""
    if len(arguments) != 1:
        return None
    constant = arguments[0].get("A_Const", {})
    for field in ("sval", "fval", "bsval"):
        if field in constant:
            return str(constant[field].get(field, ""))
    for field, empty in (("ival", 0), ("boolval", False)):
        if field in constant:
            return str(constant[field].get(field, empty)).lower()
    return None


def _set(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    name = node.get("name", "")
    match node.get("kind"):
        case "VAR_SET_VALUE" if name.lower() in _WHO and _stays(walk, name, _value(node.get("args", []))):
            walk.effect(Kind.SESSION, "variable_set_stmt", scope, ObjectType.STATEMENT)
        case "VAR_SET_VALUE":
            setting(walk, name, _value(node.get("args", [])), scope)
        case "VAR_SET_MULTI":
            walk.effect(Kind.TRANSACTION, name.lower(), scope, ObjectType.STATEMENT)
        case "VAR_RESET_ALL":
            walk.effect(Kind.SETTING, "all", scope, ObjectType.SETTING)
            _default_path(walk)
        case "VAR_SET_DEFAULT" | "VAR_RESET" if name.lower() in _WHO and _is_login(walk):
            walk.effect(Kind.SESSION, "variable_set_stmt", scope, ObjectType.STATEMENT)
        case "VAR_SET_DEFAULT" | "VAR_RESET":
            # back to what the session began with, which was safe or nothing of it would have been understood
            lexing_safe = walk.after.lexing_safe
            setting(walk, name, None if name.lower() not in _WHO else "none", scope)
            walk.after = replace(walk.after, lexing_safe=lexing_safe)
        case _:
            # SET … FROM CURRENT stands in CREATE FUNCTION only
            walk.unknown("this form of SET is not understood", name, scope, ObjectType.SETTING)
            walk.lose_names()


def _is_login(walk: Walk) -> bool:
    """Whether the session certainly still is who it logged in as, so that going back to it is no change."""
    return bool(walk.after.role) and walk.after.role == walk.snapshot.role


def _stays(walk: Walk, name: str, role: str | None) -> bool:
    """Whether the session becomes who it is; SET ROLE NONE is going back to who logged in."""
    return _is_login(walk) and (role == walk.snapshot.role or (role == "none" and name.lower() == "role"))


def _default_path(walk: Walk) -> None:
    """Back to the default path, unless the statement fails: known only where that is no change."""
    if walk.after.search_path != walk.snapshot.search_path:
        walk.after = replace(walk.after, search_path=None)


def _show(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    name = str(node.get("name", "")).lower()
    shown(walk, None if name == "all" else name, scope)
    walk.effect(Kind.SESSION, "variable_show_stmt", scope, ObjectType.STATEMENT)


def _discard(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    """DISCARD ALL fails inside a transaction, so that what it drops may be there still."""
    walk.volatile = True
    walk.effect(Kind.SESSION, "discard_stmt", scope, ObjectType.STATEMENT)
    if node.get("target", "DISCARD_ALL") == "DISCARD_ALL":
        walk.effect(Kind.SETTING, "all", scope, ObjectType.SETTING)
        if walk.after.role and walk.after.role != walk.snapshot.role:
            walk.effect(Kind.ROLE, "default", scope, ObjectType.ROLE)
            walk.after = replace(walk.after, role="")
        _default_path(walk)
        walk.after = replace(walk.after, prepared=())


def _transaction(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    walk.effect(Kind.TRANSACTION, "transaction_stmt", scope, ObjectType.STATEMENT)
    if node.get("kind") in _UNDOING:
        # what was made may be gone, and what was altered may be as it was
        doubted = tuple(replace(own, whole=False) for own in walk.after.own)
        walk.after = replace(walk.after, own=doubted)
    if node.get("kind") in _TWO_PHASE:
        # its locks outlive the session, and what it commits was another session's
        walk.effect(Kind.LOCK, str(node.get("gid", "")), scope, ObjectType.STATEMENT)
        if node.get("kind") == "TRANS_STMT_COMMIT_PREPARED":
            walk.unknown("what a prepared transaction holds is not known", str(node.get("gid", "")), scope)


def step(one: Parsed) -> str:
    """What a statement does to its transaction; END is `commit`, ABORT is `rollback`."""
    if one.kind != "TransactionStmt":
        return ""
    return str(one.tree.get("kind", "")).removeprefix("TRANS_STMT_").lower() or "unknown"


def _channel(walk: Walk, node: dict[str, Any], scope: Scope) -> None:
    walk.effect(Kind.NOTIFY, node.get("conditionname", "*"), scope, ObjectType.CHANNEL)


def _session(walk: Walk, _node: dict[str, Any], scope: Scope) -> None:
    walk.effect(Kind.SESSION, "fetch_stmt", scope, ObjectType.STATEMENT)


def _unlisten(walk: Walk, _node: dict[str, Any], scope: Scope) -> None:
    walk.effect(Kind.SESSION, "unlisten_stmt", scope, ObjectType.STATEMENT)


def _close(walk: Walk, _node: dict[str, Any], scope: Scope) -> None:
    walk.effect(Kind.SESSION, "close_portal_stmt", scope, ObjectType.STATEMENT)


def _constraints(walk: Walk, _node: dict[str, Any], scope: Scope) -> None:
    walk.effect(Kind.TRANSACTION, "constraints_set_stmt", scope, ObjectType.STATEMENT)


HANDLERS: Mapping[str, Handler] = {
    "VariableSetStmt": _set,
    "VariableShowStmt": _show,
    "DiscardStmt": _discard,
    "TransactionStmt": _transaction,
    "NotifyStmt": _channel,
    "ListenStmt": _channel,
    "UnlistenStmt": _unlisten,
    "FetchStmt": _session,
    "ClosePortalStmt": _close,
    "ConstraintsSetStmt": _constraints,
}
