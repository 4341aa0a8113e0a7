"""Object storage on loopback: puts, conditional puts, gets and lists; every signature is checked (SigV4)."""

from __future__ import annotations

import hashlib
import hmac
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.sax.saxutils import escape

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY_ID, SECRET, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI", "eu-test-1"


class Storage:
    """What is stored, by bucket and key. broken: every answer is an error."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.broken = False
        self.endpoint = ""

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.broken:
            return web.Response(status=403, text="<Error><Code>AccessDenied</Code></Error>")
        if not _signed(request, body):
            return web.Response(status=403, text="<Error><Code>SignatureDoesNotMatch</Code></Error>")
        name = request.path.lstrip("/")
        if request.method == "PUT":
            if request.headers.get("If-None-Match") == "*" and name in self.objects:
                return web.Response(status=412, text="<Error><Code>PreconditionFailed</Code></Error>")
            self.objects[name] = body
            return web.Response(headers={"ETag": '"1"'})
        if "list-type" in request.query:
            return web.Response(text=self._list(name, request.query.get("prefix", "")))
        if name not in self.objects:
            return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>")
        headers = {"ETag": '"1"', "Last-Modified": "Tue, 01 Jan 2030 00:00:00 GMT"}
        return web.Response(body=self.objects[name], headers=headers)

    def _list(self, bucket: str, prefix: str) -> str:
        keys = sorted(name.removeprefix(f"{bucket}/") for name in self.objects)
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>1</Size><ETag>1</ETag>"
            "<LastModified>2030-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in keys
            if key.startswith(prefix)
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"


@asynccontextmanager
async def storage() -> AsyncIterator[Storage]:
    """One that runs."""
    found = Storage()
    app = web.Application()
    app.router.add_route("*", "/{name:.*}", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield found
    finally:
        await runner.cleanup()


def _signed(request: web.Request, body: bytes) -> bool:
    """AWS Signature Version 4, as the server computes it."""
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    given = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
    if scheme != "AWS4-HMAC-SHA256" or not {"Credential", "SignedHeaders", "Signature"} <= set(given):
        return False
    key_id, day, region, service, last = given["Credential"].split("/")
    hashed = request.headers.get("x-amz-content-sha256", "")
    if (key_id, region) != (KEY_ID, REGION) or hashed not in {
        "UNSIGNED-PAYLOAD",
        hashlib.sha256(body).hexdigest(),
    }:
        return False
    names = given["SignedHeaders"].split(";")
    query = "&".join(
        f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in sorted(request.query.items())
    )
    headers = "".join(f"{name}:{request.headers[name].strip()}\n" for name in names)
    canonical = "\n".join(
        [request.method, request.raw_path.partition("?")[0], query, headers, ";".join(names), hashed]
    )
    scope = f"{day}/{region}/{service}/{last}"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{scheme}\n{request.headers['x-amz-date']}\n{scope}\n{hashed}"
    key = f"AWS4{SECRET}".encode()
    for part in (day, region, service, last):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest() == given["Signature"]
