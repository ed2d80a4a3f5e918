"""POST /v1/recommend with a key, without the framework: that took longer than all else such a request costs in Python.

It is what a service answers most. The route of the same path, which the API's description is made of and which answers
browsers with a cookie, asks the same functions.
"""

import msgspec

from metajax.serving.access import Access, check_bound
from metajax.serving.http import (
    PRINCIPAL,
    REQUEST_ID,
    USER,
    App,
    Receive,
    Scope,
    Send,
    decode,
    log_defect,
    note,
    problem_of,
    refuse,
    send_json,
)
from metajax.serving.problems import RequestError
from metajax.serving.schemas import Recommendations, Request
from metajax.serving.service import Service

PATH = "/v1/recommend"


class Direct:
    """Answers that call and leaves all others to an application."""

    def __init__(self, app: App, service: Service, access: Access) -> None:
        """Answer by `service` whom `access` admits."""
        self._app = app
        self._service = service
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        key = _key(scope) if scope["type"] == "http" and scope["path"] == PATH else None
        if key is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope["path_template"] = PATH
        try:
            answer = await self._answer(scope, receive, key)
        except Exception as error:
            problem = problem_of(error)
            log_defect(problem, error, scope[REQUEST_ID])
            await refuse(send, problem, scope[REQUEST_ID])
        else:
            await send_json(send, 200, msgspec.json.encode(answer))

    async def _answer(self, scope: Scope, receive: Receive, key: str) -> Recommendations:
        found = self._access.admit("recommend", key, None)
        note(scope, PRINCIPAL, found.name)
        asked = decode(await _body(receive, self._service.settings.max_body), Request)
        check_bound(found, asked.user)
        note(scope, USER, asked.user)
        async with self._service.listing.place():
            return await self._service.recommend(asked, scope[REQUEST_ID])


def _key(scope: Scope) -> str | None:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"), None)


async def _body(receive: Receive, limit: int) -> bytes:
    """Return a body that is no longer than the limit.

    Raises:
        RequestError: if it is, or does not come.
    """
    body, has_more = b"", True
    while has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestError(400, "invalid", "The body is not whole.")
        body, has_more = body + message.get("body", b""), message.get("more_body", False)
        if len(body) > limit:
            raise RequestError(413, "too_large", f"A body has at most {limit} bytes.")
    return body
