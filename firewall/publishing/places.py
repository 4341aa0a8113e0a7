"""Where checkpoints are published: a file elsewhere, object storage, Slack, whoever listens to a URL."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

import aiohttp

from firewall.answers import whole
from firewall.audit import published
from firewall.config import SlackTokens
from firewall.errors import FirewallError
from firewall.publishing.error import CALL_SECONDS, PublishError
from firewall.publishing.slack import Slack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from obstore.store import S3Store

    from firewall.config import Checkpoints

# what is read of a place: some hundred thousand checkpoints
MAX_BYTES: Final = 64 * 1024 * 1024
_ACCEPTED = range(200, 300)


class Place(Protocol):
    """`name` is for people and the log: no credentials are in it."""

    @property
    def name(self) -> str: ...
    async def put(self, origin: str, size: int, note: str) -> None:
        """Returns when the place has it for good. Raises PublishError."""
        ...


@dataclass(frozen=True, slots=True)
class File:
    """A file that checkpoints are added to, best on a disk of somebody else's."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    async def put(self, origin: str, size: int, note: str) -> None:  # noqa: ARG002 — the note says both
        try:
            await asyncio.to_thread(self._add, published.joined(note).encode())
        except OSError as error:
            reason = (error.strerror or "i/o error").lower()
            raise PublishError(f"the file cannot be written: {reason}") from None

    def _add(self, data: bytes) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            written = os.write(descriptor, data)
            if written != len(data):
                # the rest of a torn note would be taken for the beginning of the next
                os.write(descriptor, b"\n\n")
                raise OSError(None, "the disk is full")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Hook:
    """Every checkpoint is posted to a URL as plain text."""

    url: str = field(repr=False)

    @property
    def name(self) -> str:
        return shown(self.url)

    async def put(self, origin: str, size: int, note: str) -> None:  # noqa: ARG002 — the note says both
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as http,
                http.post(
                    self.url,
                    data=note.encode(),
                    headers={"Content-Type": "text/plain; charset=utf-8"},
                    allow_redirects=False,
                ) as answer,
            ):
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise PublishError(f"there is no answer ({type(error).__name__})") from None
        if status not in _ACCEPTED:
            raise PublishError(f"the answer is {status}")


@dataclass(frozen=True, slots=True)
class Bucket:
    """S3 or what speaks like it: an object for each checkpoint, never written twice.

    url: `s3://bucket/prefix`. Credentials come from where AWS's own tools have them: AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY, or the machine's role. endpoint: of another provider than AWS.
    """

    url: str
    endpoint: str = ""
    region: str = ""

    @property
    def name(self) -> str:
        return shown(self.url)

    async def put(self, origin: str, size: int, note: str) -> None:
        from obstore.exceptions import AlreadyExistsError, BaseError  # noqa: PLC0415 — few publish there

        try:
            # the same checkpoint, whose answer was lost, is there already
            await self._store().put_async(f"{origin}/{size:020}", note.encode(), mode="create")
        except AlreadyExistsError:
            return
        except (BaseError, ValueError, OSError) as error:
            raise PublishError(f"the bucket did not take it ({type(error).__name__})") from None

    async def notes(self) -> list[str]:
        """All that is there, oldest first."""
        from obstore.exceptions import BaseError  # noqa: PLC0415 — as above

        store = self._store()
        try:
            paths = sorted([entry["path"] async for page in store.list() for entry in page])
            return [bytes(await (await store.get_async(path)).bytes_async()).decode() for path in paths]
        except (BaseError, ValueError, OSError) as error:
            raise PublishError(f"`{self.name}` cannot be read ({type(error).__name__})") from None

    def _store(self) -> S3Store:
        from obstore.store import S3Store  # noqa: PLC0415 — as above

        parts = urlsplit(self.url)
        endpoint = self.endpoint or os.environ.get("AWS_ENDPOINT_URL", "")
        given = {"endpoint": endpoint, "region": self.region}
        return S3Store(
            parts.netloc,
            prefix=parts.path.strip("/") or None,
            client_options={"allow_http": endpoint.startswith("http://"), "timeout": f"{CALL_SECONDS}s"},
            retry_config={"max_retries": 1},
            **{name: value for name, value in given.items() if value},  # type: ignore[arg-type] # names of the same kind
        )


def configured(settings: Checkpoints) -> list[Place]:
    """The places that the settings name. Raises FirewallError if the environment lacks what one needs."""
    buckets = [Bucket(one.url, one.endpoint, one.region) for one in settings.buckets]
    return [*map(File, settings.files), *map(Hook, settings.webhooks), *buckets, *_slack(settings.slack)]


def _slack(channels: Sequence[str]) -> list[Slack]:
    if not channels:
        return []
    tokens = SlackTokens()
    token = tokens.bot_token.get_secret_value() if tokens.bot_token else ""
    if not token.startswith("xoxb-"):
        raise FirewallError(
            "the settings publish checkpoints to Slack, and the environment has no `SLACK_BOT_TOKEN`, xoxb-…",
            hint="README.md, `Connect Slack`, says where to find it",
        )
    return [Slack(channel, token, tokens.api_url) for channel in channels]


async def read(source: str) -> list[str]:
    """The checkpoints that were published: in a file, all files of a folder, `https://…` or `s3://…`.

    Raises PublishError.
    """
    if source.startswith("s3://"):
        return await Bucket(source).notes()
    if source.startswith(("https://", "http://")):
        return published.notes(await _fetch(source))
    try:
        texts = await asyncio.to_thread(_files, Path(source))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise PublishError(f"`{source}` cannot be read ({reason})") from None
    return [note for text in texts for note in published.notes(text)]


def _files(path: Path) -> list[str]:
    files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
    return [file.read_text(encoding="utf-8") for file in files]


async def _fetch(url: str) -> str:
    timeout = aiohttp.ClientTimeout(total=CALL_SECONDS * 4)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as answer:
            if answer.status not in _ACCEPTED:
                raise PublishError(f"`{shown(url)}` cannot be read: the answer is {answer.status}")
            return (await whole(answer, MAX_BYTES)).decode()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise PublishError(f"`{shown(url)}` cannot be read ({type(error).__name__})") from None


def shown(url: str) -> str:
    """A URL without what may be secret in it: user, password, query. A path may be, of a webhook."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path if parts.scheme == 's3' else ''}"
