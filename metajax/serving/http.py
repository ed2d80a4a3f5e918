"""What every request and answer has: strict JSON, an id, headers of security, errors of one form, a line in the log."""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from itertools import count
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from metajax.errors import DataError, StoreError
from metajax.serving.logs import UserHash
from metajax.serving.metrics import Metrics
from metajax.serving.problems import RequestError, invalid, too_busy
from metajax.serving.schemas import Error, ErrorBody
from metajax.serving.settings import Settings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

log = logging.getLogger("metajax.serving")
REQUEST_ID = "metajax_request_id"
PRINCIPAL, USER = "metajax_principal", "metajax_user"
"""Where a request's scope says who asks, and for whom: the log has hashes of both."""
WRITE, WHOLE = "metajax_write", "metajax.response"
"""Where a connection that can write a whole answer at once says how, and the message that holds one."""
READINESS = ("/health/ready", "/v2/health/ready")
"""Routes that are asked again and again until the service is ready."""
_PROCESS, _numbers = secrets.token_hex(8), count(1)
"""Of ids that are given here: a random one took as long as finding the route."""
GIVEN_ID = re.compile(rb"[\w.-]{1,64}", re.ASCII)
CODES = {400: "invalid", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "invalid"}
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
]


class StrictRequest(Request[Any, Any, Any]):
    """A request whose body is decoded straight into what its handler takes: no number is read from text."""

    async def json(self) -> Any:
        """Decode the body.

        Raises:
            RequestError: 400, with the place of what is wrong.
        """
        field = self.route_handler.parsed_data_field
        return decode(await self.body(), field.annotation if field else Any)


def decode(body: bytes, kind: Any) -> Any:
    """Decode a body.

    Raises:
        RequestError: 400, with the place of what is wrong.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise invalid(f"{error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(f"The body is not JSON: {error}.") from error


class Frame:
    """Wraps the application, so that no answer goes without id, headers and measure."""

    def __init__(
        self,
        app: App,
        metrics: Metrics,
        user_hash: UserHash,
        settings: Settings,
        full: Mapping[str, Callable[[], bool]],
    ) -> None:
        """Wrap an application; `full` says of a path whether one more request is turned away unread."""
        self._app = app
        self._metrics = metrics
        self._user_hash = user_hash
        self._settings = settings
        self._full = full

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if away := self.turned_away(scope):
            headers, body = away
            await send({"type": "http.response.start", "status": 429, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        began = time.perf_counter()
        scope[REQUEST_ID] = request_id = _request_id(scope)
        status = 500

        async def send_framed(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", WHOLE):
                status = message["status"]
                message["headers"] = [*message["headers"], *HEADERS, (b"x-request-id", request_id.encode())]
            if message["type"] != WHOLE:
                await send(message)
            elif write := scope.get(WRITE):
                await write(status, message["headers"], message["body"])
            else:
                await send({"type": "http.response.start", "status": status, "headers": message["headers"]})
                await send({"type": "http.response.body", "body": message["body"]})

        try:
            await self._app(scope, _in_time(receive, self._settings.body_seconds), send_framed)
        finally:
            self._measure(scope, status, time.perf_counter() - began)

    def turned_away(self, scope: Scope) -> tuple[Headers, bytes] | None:
        """Return headers and body of an answer 429, if there is no place for one more request of that path.

        It is read no further, so that those who have a place are answered in time.
        """
        is_full = self._full.get(scope["path"])
        if is_full is None or not is_full():
            return None
        began, problem, request_id = time.perf_counter(), too_busy(), _request_id(scope)
        scope[REQUEST_ID], scope["path_template"] = request_id, scope["path"]
        headers, body = _refusal(problem, request_id)
        self._measure(scope, problem.status, time.perf_counter() - began)
        return [*_named(body, headers), *HEADERS, (b"x-request-id", request_id.encode())], body

    def _measure(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("path_template") or "other"
        self._metrics.latency.labels(route, str(status)).observe(seconds)
        is_bad = status >= 500 and not (status == 503 and route in READINESS)
        if self._settings.log_requests or is_bad:
            names = {"principal": scope.get(PRINCIPAL), "user": scope.get(USER)}
            hashes = {name: self._user_hash(value) for name, value in names.items() if value}
            fields = {"route": route, "status": status, "seconds": round(seconds, 5), "request_id": scope[REQUEST_ID]}
            level = logging.ERROR if status == 500 else logging.WARNING if status > 500 else logging.INFO
            log.log(level, "request", extra=fields | hashes)


async def refuse(send: Send, problem: RequestError, request_id: str) -> None:
    """Answer with an error, without the framework."""
    headers, body = _refusal(problem, request_id)
    await send_json(send, problem.status, body, headers)


async def send_json(send: Send, status: int, body: bytes, headers: Headers = ()) -> None:
    """Answer with a body that is JSON, without the framework."""
    await send({"type": WHOLE, "status": status, "headers": _named(body, headers), "body": body})


def _named(body: bytes, headers: Headers) -> Headers:
    return [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]


def _refusal(problem: RequestError, request_id: str) -> tuple[Headers, bytes]:
    headers = [(name.lower().encode(), value.encode()) for name, value in error_headers(problem).items()]
    return headers, msgspec.json.encode(Error(ErrorBody(problem.code, str(problem), request_id)))


def _in_time(receive: Receive, seconds: float) -> Receive:
    """Bound the time in which the body comes: a client that sends it in drops holds nothing for long."""
    until = asyncio.get_running_loop().time() + seconds
    has_come = False

    async def receive_in_time() -> Any:
        nonlocal has_come
        if has_come:
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise RequestError(408, "slow", f"The body did not come within {seconds:g} s.") from None
        has_come = not message.get("more_body", False)
        return message

    return receive_in_time


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and GIVEN_ID.fullmatch(value):
            return value.decode()
    return f"{_PROCESS}-{next(_numbers)}"


def request_id(request: Request[Any, Any, Any]) -> str:
    """Return the id of a request."""
    return request.scope.get(REQUEST_ID, "")


def note(scope: Any, name: str, value: str | None) -> None:
    """Put into a request's scope what the log will want."""
    scope[name] = value


def problem_of(error: Exception) -> RequestError:
    """Say what an error means to a client; of a defect, nothing but that it is one."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, HTTPException):
        code = CODES.get(error.status_code, "invalid" if error.status_code < 500 else "defect")
        details = [f"{one.get('key')}: {one.get('message')}" for one in _extra(error)]
        return RequestError(error.status_code, code, "; ".join(details) or error.detail)
    if isinstance(error, StoreError):
        return RequestError(503, "store_gone", "The store of users cannot be reached, or is full.")
    if isinstance(error, DataError):
        return invalid(str(error))
    return RequestError(500, "defect", "The service failed at this request. The log has more under its id.")


def log_defect(problem: RequestError, error: Exception, request_id: str) -> None:
    """Log what should not have been, with its trace, which no answer has."""
    if problem.status == 500:
        log.error("defect", exc_info=error, extra={"request_id": request_id})


def error_headers(problem: RequestError) -> dict[str, str]:
    """Return the headers that an error's answer has beside those of every answer."""
    headers = {} if problem.retry_after is None else {"Retry-After": str(problem.retry_after)}
    return headers | ({"WWW-Authenticate": "Bearer"} if problem.status == 401 else {})


def error_response(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Answer a request with an error."""
    problem = problem_of(error)
    log_defect(problem, error, request_id(request))
    headers = error_headers(problem)
    if request.scope["path"].startswith("/v2/"):  # of the Open Inference Protocol
        return Response({"error": str(problem)}, status_code=problem.status, headers=headers)
    body = ErrorBody(problem.code, str(problem), request_id(request))
    return Response(Error(body), status_code=problem.status, headers=headers)


def _extra(error: HTTPException) -> list[dict[str, Any]]:
    return [one for one in error.extra if isinstance(one, dict)] if isinstance(error.extra, list) else []
