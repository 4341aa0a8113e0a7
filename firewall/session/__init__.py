"""One client session as a state machine: events in, commands out. No I/O."""

from firewall.session.commands import (
    Act,
    Action,
    Bounds,
    CancelUpstream,
    CatalogChanged,
    Clear,
    Clock,
    Close,
    Command,
    Declined,
    Done,
    Fill,
    Foresee,
    Judge,
    Masking,
    Refusal,
    Ruling,
    ToBackend,
    ToFrontend,
    Withdraw,
)
from firewall.session.copied import Copying, Format
from firewall.session.masks import Form, Mask
from firewall.session.session import Session
from firewall.session.turn import CANCELLED
from firewall.session.watch import UNANNOUNCED, Watch

__all__ = [
    "CANCELLED",
    "UNANNOUNCED",
    "Act",
    "Action",
    "Bounds",
    "CancelUpstream",
    "CatalogChanged",
    "Clear",
    "Clock",
    "Close",
    "Command",
    "Copying",
    "Declined",
    "Done",
    "Fill",
    "Foresee",
    "Form",
    "Format",
    "Judge",
    "Mask",
    "Masking",
    "Refusal",
    "Ruling",
    "Session",
    "ToBackend",
    "ToFrontend",
    "Watch",
    "Withdraw",
]
