"""Settings: one file for where things are; policy says what may be done.

Secrets are never written into the file: each is named by the environment variable or the file that holds
it. Relative paths are relative to the settings file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from firewall.audit import Keep
from firewall.errors import ConfigurationError, Place, Problem
from firewall.policy.load import validate
from firewall.policy.source import MAX_BYTES, Source, read

if TYPE_CHECKING:
    from collections.abc import Iterator

HINT = "`firewall init` writes a settings file with every key explained"
Port = Annotated[int, Field(ge=0, le=65535)]
SslMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tls(_Model):
    """The firewall's own certificate, shown to agents; PEM files.

    client_ca: the authorities whose certificates let an agent in that is known by one.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


class Keepalive(_Model):
    """When a silent peer is asked whether it still lives: seconds, seconds and times, as tcp(7) has them."""

    idle: Annotated[int, Field(ge=1, le=32767)] = 60
    interval: Annotated[int, Field(ge=1, le=32767)] = 10
    count: Annotated[int, Field(ge=1, le=127)] = 6


class Listen(_Model):
    """Where agents connect. `require_tls` turns plaintext sessions away."""

    host: str = "127.0.0.1"
    port: Port = 6432
    tls: Tls | None = None
    require_tls: bool = False
    keepalive: Keepalive = Keepalive()


class OpenId(_Model):
    """An OpenID Connect provider by which people sign in to the console; the secret is in the environment."""

    issuer: str
    client_id: str
    client_secret_env: str = ""
    name: str = "single sign-on"

    @field_validator("issuer")
    @classmethod
    def _secure(cls, issuer: str) -> str:
        parts = urlsplit(issuer)
        if parts.scheme != "https" and parts.hostname not in {"127.0.0.1", "::1", "localhost"}:
            raise ValueError("an issuer is an https address")
        return issuer


class Web(_Model):
    """Where approvers and programs connect; `url` is how people reach it, for links in messages.

    roles: who may do what there, by name. Where it is left out, whoever has a token may look, audit and try
    statements; who decides, and may look for that, is the policy's to say.
    """

    host: str = "127.0.0.1"
    port: Port = 8432
    url: str = ""
    oidc: OpenId | None = None
    roles: dict[Literal["viewer", "auditor", "operator"], frozenset[str]] = {}


class SlackHttp(_Model):
    """Where Slack's requests are taken, if not through a socket; at the path /slack/events, behind TLS."""

    host: str = "127.0.0.1"
    port: Port = 8433


class Slack(_Model):
    """The channel where holds are posted, unless policy names others.

    The bot token comes from SLACK_BOT_TOKEN; and SLACK_APP_TOKEN, or SLACK_SIGNING_SECRET with `http`.
    """

    channel: str
    http: SlackHttp | None = None


class Teams(_Model):
    """The Teams channel where holds are posted, unless policy names others; clicks come to host and port.

    client_id and tenant: of the app's registration in Entra. The secret comes from TEAMS_CLIENT_SECRET.
    """

    client_id: str
    tenant: str
    conversation: str
    host: str = "127.0.0.1"
    port: Port = 8434
    service_url: str = "https://smba.trafficmanager.net/teams"


class Webhook(_Model):
    """A receiver of hold events. Its secret is in the environment: `whsec_` and base64, 24 bytes at least.

    events: kinds of records; all if none is named, and `break_glass` in any case. statements: send SQL and
    values, too.
    """

    url: Annotated[str, Field(pattern=r"^https?://\S+$", max_length=2000)]
    secret_env: str
    events: tuple[Literal["hold", "vote", "decision", "release", "refusal", "outcome"], ...] = ()
    statements: bool = False


class Database(_Model):
    """One database behind the firewall, and the login that the firewall alone knows."""

    host: str
    port: Port = 5432
    database: str = ""
    user: str
    password_env: str = ""
    password_file: Path | None = None
    sslmode: SslMode = "prefer"
    sslrootcert: Path | None = None
    environment: str = "production"
    policy: Path


class Records(_Model):
    """The log. `keep` is what it keeps of statements' texts and parameters: all of them (`full`), texts
    without constants (`redacted`), or salted hashes alone (`digest`). A policy may say it for its database.
    After `retention` days they are erased; the records themselves stay for ever.
    """

    keep: Keep = Keep.FULL
    retention: Annotated[int, Field(ge=1, le=36_500)] | None = None


class Bucket(_Model):
    """Object storage that speaks as S3 does: `s3://bucket/prefix`. Credentials come from the environment, as
    AWS's own tools take them; `endpoint` is of another provider.
    """

    url: Annotated[str, Field(pattern=r"^s3://[^/@?#]+(/[^@?#]*)?$")]
    endpoint: str = ""
    region: str = ""


class Checkpoints(_Model):
    """Where signed heads of the log are published: after `every` seconds, or after `records` new records.

    slack: ids of channels; the bot token comes from SLACK_BOT_TOKEN.
    """

    every: Annotated[int, Field(ge=1)] = 300
    records: Annotated[int, Field(ge=1)] = 10_000
    files: list[Path] = []
    webhooks: list[Annotated[str, Field(pattern=r"^https?://")]] = []
    buckets: list[Bucket] = []
    slack: list[Annotated[str, Field(pattern=r"^[CG][A-Z0-9]{2,}$")]] = []

    @property
    def any(self) -> bool:
        """Is there a place?"""
        return bool(self.files or self.webhooks or self.buckets or self.slack)


class Settings(_Model):
    """The settings file. `origin` names this log; `key` is its Ed25519 signing key, made on first use.

    max_connections_per_agent: as many as there are in all, if None. idle_timeout: seconds; 0 is for ever.
    mask_key: a file with the secret of hashed values; without it each firewall hashes by its own `key`.
    standing_releases: what a rule allows is released once, durably, for a minute of runs in its session.
    """

    listen: Listen = Listen()
    web: Web = Web()
    slack: Slack | None = None
    teams: Teams | None = None
    webhooks: dict[str, Webhook] = {}
    store: str = "sqlite:///firewall.db"
    key: Path = Path("firewall.key")
    mask_key: Path | None = None
    origin: str = "query-firewall"
    databases: dict[str, Database] = Field(min_length=1)
    catalog_refresh: Annotated[int, Field(ge=5)] = 300
    analysis_workers: Annotated[int, Field(ge=1, le=64)] = 2
    max_connections: Annotated[int, Field(ge=1)] = 500
    max_connections_per_agent: Annotated[int, Field(ge=1)] | None = None
    standing_releases: bool = False
    records: Records = Records()
    checkpoints: Checkpoints = Checkpoints()
    login_timeout: Annotated[int, Field(ge=1, le=600)] = 30
    idle_timeout: Annotated[int, Field(ge=0)] = 0


class SlackTokens(BaseSettings):
    """Slack's secrets, from the environment: SLACK_BOT_TOKEN (xoxb-…), SLACK_APP_TOKEN (xapp-…) for a socket,
    SLACK_SIGNING_SECRET for HTTP.
    """

    model_config = SettingsConfigDict(env_prefix="SLACK_", extra="ignore")

    bot_token: SecretStr | None = None
    app_token: SecretStr | None = None
    signing_secret: SecretStr | None = None
    # where Slack's Web API is; another value than Slack's own serves tests and gateways
    api_url: str = "https://slack.com/api/"


def load(path: Path) -> Settings:
    """The settings in this file, paths made absolute. Raises ConfigurationError with every problem found."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"`{path}` cannot be read ({error.strerror}); name a settings file with --config"
        raise ConfigurationError((Problem(Place(path), "", message),), hint=HINT) from None
    try:
        source = read(raw.decode("utf-8"), path)
    except UnicodeDecodeError as error:
        message = f"the byte at offset {error.start} is not UTF-8; save the file as UTF-8"
        raise ConfigurationError((Problem(Place(path), "", message),), hint=HINT) from None
    if source.problems:
        raise ConfigurationError(tuple(source.problems), hint=HINT)
    try:
        settings = validate(Settings, source, _between)
    except ConfigurationError as error:
        raise ConfigurationError(error.problems, hint=HINT) from None
    return _absolute(settings, path.absolute().parent, source)


def password(name: str, database: Database) -> SecretStr:
    """The database login's password; empty when neither place is named (trust authentication)."""
    if database.password_env:
        value = os.environ.get(database.password_env)
        if value is None:
            raise ConfigurationError(
                (
                    Problem(
                        Place(Path()),
                        f"databases.{name}.password_env",
                        f"the environment has no `{database.password_env}`; set it to the login's password",
                    ),
                )
            )
        return SecretStr(value)
    if database.password_file:
        try:
            return SecretStr(database.password_file.read_text().strip())
        except OSError as error:
            raise ConfigurationError(
                (
                    Problem(
                        Place(database.password_file),
                        f"databases.{name}.password_file",
                        f"cannot be read ({error.strerror})",
                    ),
                )
            ) from None
    return SecretStr("")


def _between(data: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What one field says about another."""
    if not isinstance(data, dict):
        return
    databases = data.get("databases")
    for name, database in databases.items() if isinstance(databases, dict) else ():
        if not isinstance(database, dict):
            continue
        here = ("databases", name)
        if "password" in database:
            yield (*here, "password"), "secrets do not belong here; use `password_env` or `password_file`"
        if "password_env" in database and "password_file" in database:
            yield (*here, "password_file"), "there is `password_env` already; keep one of them"
        if str(database.get("sslmode", "")).startswith("verify-") and "sslrootcert" not in database:
            yield (*here, "sslmode"), "`verify-…` needs `sslrootcert`, the authority's certificate"
    listen = data.get("listen")
    if isinstance(listen, dict) and listen.get("require_tls") is True and "tls" not in listen:
        yield ("listen", "require_tls"), "`require_tls` needs `tls` with `certificate` and `key`"


def _absolute(settings: Settings, base: Path, source: Source) -> Settings:
    databases = {
        name: database.model_copy(
            update={
                "policy": base / database.policy,
                "database": database.database or name,
                "password_file": base / database.password_file if database.password_file else None,
                "sslrootcert": base / database.sslrootcert if database.sslrootcert else None,
            }
        )
        for name, database in settings.databases.items()
    }
    store = settings.store
    if store.startswith("sqlite:///") and not store.startswith("sqlite:////"):
        store = f"sqlite:///{base / store.removeprefix('sqlite:///')}"
    elif not store.startswith(("sqlite:////", "postgresql://")):
        message = "write `sqlite:///firewall.db` or `postgresql://user@host/database`"
        raise ConfigurationError((Problem(source.place(("store",)), "store", message),), hint=HINT)
    tls = settings.listen.tls
    if tls is not None:
        tls = Tls(
            certificate=base / tls.certificate,
            key=base / tls.key,
            client_ca=base / tls.client_ca if tls.client_ca else None,
        )
    listen = settings.listen.model_copy(update={"tls": tls})
    mask_key = base / settings.mask_key if settings.mask_key else None
    files = [base / file for file in settings.checkpoints.files]
    return settings.model_copy(
        update={
            "databases": databases,
            "store": store,
            "key": base / settings.key,
            "mask_key": mask_key,
            "listen": listen,
            "checkpoints": settings.checkpoints.model_copy(update={"files": files}),
        }
    )
