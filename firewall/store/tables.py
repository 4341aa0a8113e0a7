"""The one schema, for SQLite and Postgres alike.

A record's bytes are the authority, and `private` is what they commit to (`audit/sealed.py`), NULL once it is
erased; the other columns of `records` are copies to search by. Times are RFC 3339
text in UTC, whose order is time order on both. Migrations (`migrations/versions`) build exactly this.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    true,
)

metadata = MetaData()

# one leaf of one log; `idx` counts from 0 without gaps. `text` is the statement, where there is one
records = Table(
    "records",
    metadata,
    Column("origin", Text, nullable=False),
    Column("idx", BigInteger, nullable=False),
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column("statement", Text, nullable=False),
    Column("hold", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("owner", Text, nullable=False, server_default=""),
    Column("database", Text, nullable=False, server_default=""),
    Column("rule", Text, nullable=False, server_default=""),
    Column("leaf_hash", LargeBinary, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
    Column("private", LargeBinary, nullable=True),
    Column("trace", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("origin", "idx", name="records_pkey"),
    Index("records_by_id", "id", unique=True),
    Index("records_by_kind", "kind", "at", "id"),
    Index("records_by_session", "session", "at", "id"),
    Index("records_by_statement", "statement"),
    Index("records_by_hold", "hold"),
)
# search walks one of these from its newest end (`store/search.py`)
_judged = records.c.verdict != ""
for _column in (records.c.agent, records.c.verdict, records.c.owner, records.c.database, records.c.rule):
    Index(
        f"records_by_{_column.name}",
        _column,
        records.c.at,
        records.c.id,
        sqlite_where=_judged,
        postgresql_where=_judged,
    )
_traced = records.c.trace != ""
Index("records_by_trace", records.c.trace, sqlite_where=_traced, postgresql_where=_traced)

# which relations a judged statement touches: qualified, and bare for people who leave the schema out
record_relations = Table(
    "record_relations",
    metadata,
    Column("record", Text, nullable=False),
    Column("relation", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("record", "relation", name="record_relations_pkey"),
    Index("record_relations_by_relation", "relation", "at", "record"),
    Index("record_relations_by_name", "name", "at", "record"),
)

# what else a record is found by, of which it may have several: the kinds and labels of a judgement's effects,
# the people by whom a decision was made
record_facets = Table(
    "record_facets",
    metadata,
    Column("record", Text, nullable=False),
    Column("facet", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("record", "facet", "value", name="record_facets_pkey"),
    Index("record_facets_by_value", "facet", "value", "at", "record"),
)

# the newest signed tree head of each log; this row is what writers of one log queue up for
heads = Table(
    "heads",
    metadata,
    Column("origin", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    PrimaryKeyConstraint("origin", name="heads_pkey"),
)

# every signed tree head there ever was, one for each commit: they say where a log was changed
checkpoints = Table(
    "checkpoints",
    metadata,
    Column("origin", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
    PrimaryKeyConstraint("origin", "size", name="checkpoints_pkey"),
)

# `body` is the whole hold as it was opened (JSON); state, votes, outcome and `awaited` are what changed since
holds = Table(
    "holds",
    metadata,
    Column("id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("opened_at", Text, nullable=False),
    Column("votes", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("digest", Text, nullable=False, server_default=""),
    Column("awaited", Boolean, nullable=False, server_default=true()),
    Column("agent", Text, nullable=False, server_default=""),
    Column("database", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("id", name="holds_pkey"),
    Index("holds_by_state", "state", "opened_at"),
    Index("holds_by_time", "opened_at"),
    Index("holds_by_digest", "digest"),
    Index("holds_by_agent", "agent", "database", "opened_at"),
)

# leave for more than one run; `body` is the grant as it was given (JSON), the rest is what changes or is
# searched by
grants = Table(
    "grants",
    metadata,
    Column("id", Text, nullable=False),
    Column("shape", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("database", Text, nullable=False),
    Column("until", Text, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("revoked_by", Text, nullable=False),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("id", name="grants_pkey"),
    Index("grants_by_shape", "shape", "until"),
    Index("grants_by_agent", "agent", "database", "until"),
)

# `verifier` is the SCRAM-SHA-256 verifier (manual 54.3), never the token; `certificate` is a name or empty
agents = Table(
    "agents",
    metadata,
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("verifier", Text, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("valid_until", Text, nullable=True),
    Column("certificate", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("name", name="agents_pkey"),
)

# what a channel has posted of a hold, in the channel's own words
cards = Table(
    "cards",
    metadata,
    Column("hold", Text, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("hold", name="cards_pkey"),
)

# people's bearer tokens, by hash alone
tokens = Table(
    "tokens",
    metadata,
    Column("token_hash", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("revoked", Boolean, nullable=False),
    PrimaryKeyConstraint("token_hash", name="tokens_pkey"),
    Index("tokens_by_person", "person"),
)

# labels that no policy says: what put them on a column, and since when
marks = Table(
    "marks",
    metadata,
    Column("database", Text, nullable=False),
    Column("relation", Text, nullable=False),
    Column("column", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("statement", Text, nullable=False),
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("database", "relation", "column", "label", "source", name="marks_pkey"),
)

# how often the marks of a database were changed, so that whoever keeps a copy sees when it is old
mark_changes = Table(
    "mark_changes",
    metadata,
    Column("database", Text, nullable=False),
    Column("changes", BigInteger, nullable=False),
    PrimaryKeyConstraint("database", name="mark_changes_pkey"),
)

# which shapes of statements an agent has been let run, where a policy asks for it
shapes = Table(
    "shapes",
    metadata,
    Column("database", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("database", "agent", "fingerprint", name="shapes_pkey"),
)

# rows that count against a budget; while a statement runs (`open`), as many as it may still return
spending = Table(
    "spending",
    metadata,
    Column("database", Text, nullable=False),
    Column("budget", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("statement", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("open", Boolean, nullable=False),
    PrimaryKeyConstraint("database", "budget", "statement", name="spending_pkey"),
    Index("spending_by_agent", "database", "budget", "agent", "at"),
)

# what people ask of running firewalls, and how often they have
signals = Table(
    "signals",
    metadata,
    Column("name", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    PrimaryKeyConstraint("name", name="signals_pkey"),
)

# links by which a person signs in once, by the hash of their secret
links = Table(
    "links",
    metadata,
    Column("hash", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("until", Text, nullable=False),
    PrimaryKeyConstraint("hash", name="links_pkey"),
)

# filters of the query log that a person has kept under a name, as the page's address has them
views = Table(
    "views",
    metadata,
    Column("person", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("query", Text, nullable=False),
    PrimaryKeyConstraint("person", "name", name="views_pkey"),
)

# how often a database had run what, when it was last compared with the log: its counters only grow
watched = Table(
    "watched",
    metadata,
    Column("database", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("database", "role", "query", name="watched_pkey"),
)
