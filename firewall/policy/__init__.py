"""What may be done: the policy document, its compilation, and verdicts. Pure."""

from firewall.policy.compile import Approver, Policy
from firewall.policy.document import Mode
from firewall.policy.load import load, parse
from firewall.policy.moment import Fact, Moment
from firewall.policy.obligations import Obligations
from firewall.policy.verdict import Action, Reason, Requirement, Risk, Subject, Terms, Verdict

__all__ = [
    "Action",
    "Approver",
    "Fact",
    "Mode",
    "Moment",
    "Obligations",
    "Policy",
    "Reason",
    "Requirement",
    "Risk",
    "Subject",
    "Terms",
    "Verdict",
    "load",
    "parse",
]
