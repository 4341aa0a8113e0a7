"""What may be done: the policy document, its compilation, and verdicts. Pure."""

from firewall.policy.verdict import Action, Reason, Requirement, Risk, Subject, Verdict

__all__ = ["Action", "Reason", "Requirement", "Risk", "Subject", "Verdict"]
