"""What a person may do in console and API. Whoever has any role may look; deciding is the policy's to give.

Votes are no matter of roles: the desk counts them or refuses them by the policy, and records both.
"""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """viewer: looks. auditor: has the log verified and proofs made. operator: tries texts on the policy."""

    VIEWER = "viewer"
    APPROVER = "approver"
    AUDITOR = "auditor"
    OPERATOR = "operator"


# what whoever has a credential may do where the settings give no roles
EVERY = frozenset({Role.VIEWER, Role.AUDITOR, Role.OPERATOR})
