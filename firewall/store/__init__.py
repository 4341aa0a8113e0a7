"""Where holds, agents, tokens and the log live: SQLite by default, Postgres when shared. Every change and its
records are one durable transaction that ends with a signed tree head.
"""

from firewall.store.erasing import Erased
from firewall.store.reader import Reader
from firewall.store.rows import AgentRow, Judged, TokenRow
from firewall.store.store import Store

__all__ = ["AgentRow", "Erased", "Judged", "Reader", "Store", "TokenRow"]
