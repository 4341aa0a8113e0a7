"""The asyncio edge: listener, TLS, logins, the database's side, and the loop that carries out commands."""

from firewall.proxy.guarded import Entrance, Guarded
from firewall.proxy.listener import Listener
from firewall.proxy.planner import Planner

__all__ = ["Entrance", "Guarded", "Listener", "Planner"]
