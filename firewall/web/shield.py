"""What every response carries and every request must fit, whatever the routes do.

The outermost layer of the application: security headers on each response, errors included; bodies bounded
before anything reads them; and the last resort for what nobody caught, recorded as a fault.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import Request

from firewall import audit, clock, ids
from firewall.errors import StoreError
from firewall.web.render import answer

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# a reason of 2,000 characters in a form is under 10 kB; nothing here takes files
MAX_BODY_BYTES = 64 * 1024
# a body that small takes no time on any link; slower is someone holding a connection open
BODY_SECONDS = 10.0
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # not `no-referrer`: under it browsers send `Origin: null` with a form, and the origin check needs it
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
STATIC_PREFIX = "/static/"


class Shield:
    """ASGI middleware; put it outside everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _dress(scope, message)
            await send(message)

        request = Request(scope, receive)
        body = await _body(request, receive)
        if isinstance(body, HTTPStatus):
            detail = f"a body may have {MAX_BODY_BYTES:,} bytes and {BODY_SECONDS:.0f} s to arrive"
            refusal = answer(request, body, detail, headers={"connection": "close"})
            await refusal(scope, receive, guarded)
            return
        try:
            await self._app(scope, _replay(body, receive), guarded)
        except Exception as error:
            # the last resort: told as a fault, never as a traceback; a cut response tells by itself
            await _note(request, error)
            if started:
                raise
            detail = "the console failed to answer this; it is recorded, and nothing was released by it"
            await answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, detail)(scope, receive, guarded)


def _dress(scope: Scope, message: Message) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in HEADERS.items():
        headers[name] = value
    headers.setdefault("cache-control", "no-cache" if scope["path"].startswith(STATIC_PREFIX) else "no-store")
    if scope["scheme"] == "https":
        headers["strict-transport-security"] = "max-age=31536000"


async def _body(request: Request, receive: Receive) -> bytes | HTTPStatus:
    """The whole body, or the status that says why it is not taken."""
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > MAX_BODY_BYTES:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    found = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    break
                found += message.get("body", b"")
                if len(found) > MAX_BODY_BYTES:
                    return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        return HTTPStatus.REQUEST_TIMEOUT
    return bytes(found)


def _replay(body: bytes, receive: Receive) -> Receive:
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _note(request: Request, error: Exception) -> None:
    where = f"console {request.method} {request.url.path[:200]}"
    structlog.get_logger("firewall.web").error("console fault", where=where, error=type(error).__name__)
    fault = audit.Fault(
        id=ids.record_id(), at=clock.stamp(clock.now()), where=where, error=type(error).__name__
    )
    try:
        await request.app.state.house.record(fault)
    except StoreError:
        structlog.get_logger("firewall.web").error("fault not recorded: the store does not answer")
