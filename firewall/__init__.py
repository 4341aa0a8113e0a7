"""query-firewall: a Postgres wire-protocol proxy that judges what AI agents ask of a database."""
