"""The log as mathematics: records, canonical bytes, Merkle tree, checkpoints, verification. Pure."""

from firewall.audit.records import (
    ADAPTER,
    Credential,
    Decision,
    Effect,
    Fault,
    HoldOpened,
    Judgement,
    Outcome,
    Policy,
    Record,
    Refusal,
    Release,
    Session,
    SignIn,
    Vote,
)

__all__ = [
    "ADAPTER",
    "Credential",
    "Decision",
    "Effect",
    "Fault",
    "HoldOpened",
    "Judgement",
    "Outcome",
    "Policy",
    "Record",
    "Refusal",
    "Release",
    "Session",
    "SignIn",
    "Vote",
]
