"""Who may do what: a guard that Litestar calls before a handler, by the scope that the handler names."""

from typing import Any

from litestar.connection import ASGIConnection, Request
from litestar.handlers import BaseRouteHandler

from metajax.serving.http import PRINCIPAL, USER, note
from metajax.serving.keys import Keys, Principal
from metajax.serving.problems import RequestError, forbidden
from metajax.serving.rates import Rates
from metajax.serving.tokens import Sessions, WebTokens

COOKIE = "metajax_session"


class Access:
    """Keys, cookies and tokens."""

    def __init__(self, keys: Keys, sessions: Sessions | None, tokens: WebTokens | None) -> None:
        """Accept keys, and cookies and tokens where they are given."""
        self.keys = keys
        self.sessions = sessions
        self.tokens = tokens
        self.rates = Rates()

    def identify(self, authorization: str | None, cookie: str | None) -> Principal | None:
        """Return who asks: by the header if there is one, else by the cookie."""
        if authorization is not None:
            if (text := _bearer(authorization)) is None:
                return None
            return self.keys.find(text) or (self.tokens.find(text) if self.tokens else None)
        return self.sessions.find(cookie) if cookie and self.sessions else None

    def admit(self, scope: str, authorization: str | None, cookie: str | None) -> Principal:
        """Return who asks, if they may.

        Raises:
            RequestError: if they may not, or not so often.
        """
        if scope == "admin" and not self.keys.has_admin and self.tokens is None:
            raise RequestError(404, "not_found", "Not Found")
        found = self.identify(authorization, cookie)
        if found is None:
            raise _wrong_key() if cookie or _bearer(authorization) else _no_key()
        if found.rate is not None and (seconds := self.rates.wait(found.name, found.rate)):
            raise RequestError(429, "rate", f"This key may ask {found.rate:g} times a second.", retry_after=seconds)
        if scope not in found.scopes:
            raise forbidden(f"This needs a key of the scope {scope}.")
        return found

    def charge(self, found: Principal, count: int) -> None:
        """Count what a request holds, requests or events, as so many requests: one is counted already."""
        if found.rate is not None:
            self.rates.charge(found.name, count - 1)

    async def guard(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Let a request pass, or raise; the principal is put into its state."""
        scope = handler.opt.get("scope")
        if scope is None:
            return
        found = self.admit(scope, connection.headers.get("authorization"), connection.cookies.get(COOKIE))
        connection.state.principal = found
        note(connection.scope, PRINCIPAL, found.name)


def _bearer(authorization: str | None) -> str | None:
    """Return the key of such a header; None of another."""
    word, _, text = (authorization or "").partition(" ")
    return text.strip() if word.lower() == "bearer" else None


def _no_key() -> RequestError:
    return RequestError(401, "no_key", "Send a key: the header `Authorization: Bearer <key>`.")


def _wrong_key() -> RequestError:
    """Say no more than that: a key that never was and one that was deleted are answered alike."""
    return RequestError(
        401,
        "wrong_key",
        "This key is none of this service's, or has expired. See `metajax serve --help` for a new one.",
    )


def check_bound(found: Principal, user: str | None) -> None:
    """Refuse another user to who is bound to one.

    Raises:
        RequestError: 403.
    """
    if found.user is not None and user is not None and user != found.user:
        raise forbidden("This key is bound to another user.")


def check_user(request: Request[Any, Any, Any], user: str | None) -> None:
    """Check that who asks may ask about a user, who is noted for the log.

    Raises:
        RequestError: 403.
    """
    check_bound(principal(request), user)
    note(request.scope, USER, user)


def principal(request: Request[Any, Any, Any]) -> Principal:
    """Return who asks."""
    return request.state.principal
