"""The database's side: connect, TLS by sslmode, log in with the firewall's own credentials, cancel."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from firewall import wire
from firewall.errors import FirewallError, ProtocolViolation
from firewall.proxy.link import Link, maker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

    from firewall.config import Database

CONNECT_SECONDS = 10
MAX_LOGIN_FRAME = 1024 * 1024
# An answer to an SSLRequest is one byte (manual 53.2.10).
_SSL_YES, _SSL_NO = b"S", b"N"


class UpstreamRefused(FirewallError):
    """The database cannot be reached or turned the firewall away; with the SQLSTATE for the client."""

    def __init__(self, message: str, *, sqlstate: str = "08001", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.sqlstate = sqlstate


@dataclass(frozen=True, slots=True)
class Upstream:
    """A connection that is ready for queries. `parameters` as ParameterStatus reported them."""

    link: Link
    parameters: tuple[tuple[str, str], ...]
    pid: int
    key: bytes


async def connect(database: Database, password: SecretStr, settings: Mapping[str, str]) -> Upstream:
    """Connect and log in. Raises UpstreamRefused; nothing of the credentials is in its message."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            link = await _open(database)
            try:
                return await _log_in(link, database, password, settings)
            except BaseException:
                link.abort()
                raise
    except TimeoutError:
        raise UpstreamRefused(
            f"the database did not answer within {CONNECT_SECONDS} s", hint="check host and port"
        ) from None
    except OSError as error:
        raise UpstreamRefused(
            f"the database cannot be reached: {error.strerror or type(error).__name__}",
            hint="check host and port",
        ) from None
    except ProtocolViolation as error:
        raise UpstreamRefused(f"the database cannot be talked to: {error.message}", hint=error.hint) from None
    except wire.ScramFailed as error:
        raise UpstreamRefused(error.message, hint=error.hint) from None


async def cancel(database: Database, pid: int, key: bytes) -> None:
    """Send a CancelRequest (manual 53.2.8). It has no answer; an unreachable database is no news here."""
    if not key:
        return  # some servers hand out none
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            link = await _open(database)
            try:
                link.write(wire.CancelRequest(pid, key).encode())
                await link.read()  # the server closes when it has acted
            finally:
                link.close()
    except (OSError, TimeoutError, FirewallError):
        return


async def _open(database: Database) -> Link:
    loop = asyncio.get_running_loop()
    if database.host.startswith("/"):
        path = f"{database.host}/.s.PGSQL.{database.port}"
        _, made = await loop.create_unix_connection(maker(), path)
        return cast("Link", made)
    _, made = await loop.create_connection(maker(), database.host, database.port)
    link = cast("Link", made)
    try:
        await _encrypt(link, database)
    except BaseException:
        link.abort()
        raise
    return link


async def _encrypt(link: Link, database: Database) -> None:
    context = tls_context(database)
    if context is None:
        return
    link.write(wire.SSLRequest().encode())
    answer = await link.read()
    if answer == _SSL_YES:
        await link.start_tls(context, server_side=False, hostname=database.host)
    elif answer != _SSL_NO:
        # more than one byte was put there by someone before TLS began [CVE-2021-23222]
        raise ProtocolViolation("the server's answer to an SSLRequest is malformed")
    elif database.sslmode != "prefer":
        raise UpstreamRefused(
            f"the database does not offer TLS, and sslmode is `{database.sslmode}`",
            hint="enable ssl in the database, or lower `sslmode`",
        )


def tls_context(database: Database) -> ssl.SSLContext | None:
    """As libpq does by sslmode (manual 32.19.1)."""
    if database.sslmode == "disable":
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = database.sslmode == "verify-full"
    if database.sslmode.startswith("verify-"):
        context.load_verify_locations(database.sslrootcert)
    else:
        context.verify_mode = ssl.CERT_NONE
    return context


async def _log_in(
    link: Link, database: Database, password: SecretStr, settings: Mapping[str, str]
) -> Upstream:
    parameters = {"user": database.user, "database": database.database, **settings}
    link.write(wire.StartupMessage(3, 0, tuple(parameters.items())).encode())
    framer = wire.Framer(MAX_LOGIN_FRAME)
    secret = password.get_secret_value()
    scram: wire.ScramClient | None = None
    reported: list[tuple[str, str]] = []
    pid, key = 0, b""
    unproven = False
    while data := await link.read():
        frames = framer.feed(data)
        for at, frame in enumerate(frames):
            message = wire.decode_backend(frame)
            match message:
                case wire.AuthenticationOk() if unproven:
                    raise ProtocolViolation("the server left its part of SCRAM out")
                case wire.AuthenticationOk() | wire.NoticeResponse():
                    pass
                case wire.AuthenticationCleartextPassword():
                    link.write(wire.PasswordMessage(_needed(secret)).encode())
                case wire.AuthenticationMD5Password(salt):
                    answer = wire.md5_response(database.user, _needed(secret), salt)
                    link.write(wire.PasswordMessage(answer).encode())
                case wire.AuthenticationSASL(mechanisms):
                    unproven = True
                    scram = wire.ScramClient(_needed(secret), mechanisms=mechanisms, binding=_binding(link))
                    link.write(wire.SASLInitialResponse(scram.mechanism, scram.first()).encode())
                case wire.AuthenticationSASLContinue(challenge) if scram is not None:
                    link.write(wire.SASLResponse(scram.final(challenge)).encode())
                case wire.AuthenticationSASLFinal(proof) if scram is not None:
                    scram.verify(proof)
                    unproven = False
                case wire.ParameterStatus(name, value):
                    reported.append((name, value))
                case wire.BackendKeyData(pid=pid, key=key):
                    pass
                case wire.ErrorResponse():
                    raise UpstreamRefused(
                        f"the database refused the firewall's login: {message.message}",
                        sqlstate=message.sqlstate,
                    )
                case wire.ReadyForQuery():
                    # what the server says behind it belongs to the session
                    begun = data[len(data) - framer.pending :]
                    link.unread(b"".join(f.raw for f in frames[at + 1 :]) + begun)
                    return Upstream(link, tuple(reported), pid, key)
                case _:
                    raise ProtocolViolation(f"unexpected message `{chr(frame.code)}` during login")
    raise UpstreamRefused("the database closed the connection during login")


def _needed(secret: str) -> str:
    if not secret:
        raise UpstreamRefused(
            "the database asks for a password, and none is configured",
            sqlstate="28P01",
            hint="set `password_env` or `password_file` in the settings file",
        )
    return secret


def _binding(link: Link) -> bytes | None:
    certificate = link.tls.getpeercert(binary_form=True) if link.tls else None
    return wire.certificate_binding(certificate) if certificate else None
