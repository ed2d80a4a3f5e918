"""A client of the service: typed answers, and calls that are sent again when the service is busy or away.

Needs httpx and msgspec, which the extra `serve` brings.
"""

import random
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from msgspec.structs import replace

from metajax.errors import MetajaxError
from metajax.serving.schemas import (
    Batch,
    BatchResult,
    BatchResults,
    CatalogueItem,
    CatalogueItems,
    Erased,
    Error,
    Feature,
    Feedback,
    FeedbackEvent,
    FeedbackResult,
    FeedbackResults,
    Recommendations,
    Request,
    User,
)

REQUESTS_AT_ONCE = 100
EVENTS_AT_ONCE = 1000
FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0

_SENT_AGAIN = {429, 502, 503, 504}

T = TypeVar("T")


class ServiceError(MetajaxError):
    """An answer that is an error, or none.

    Attributes:
        status: of HTTP; None if there was no answer.
        code: the word for programs, such as `unknown_item`; `unreachable` if there was no answer.
        request_id: under which the service's log has more, if it said so.
    """

    def __init__(self, message: str, *, status: int | None, code: str, request_id: str | None = None):
        super().__init__(message)
        self.status = status
        self.code = code
        self.request_id = request_id


class Client:
    """Talks to one service; may be used by several threads, and as a context manager.

    Every call may be sent more than once, if the service is busy (429), away (502, 503, 504) or not reached: with
    growing pauses, no shorter than the service asks for. That is safe: events have their ids before they are sent, so
    that none is stored twice.

    Args:
        address: such as http://127.0.0.1:8000.
        key: sent as a bearer token.
        timeout: seconds to wait for one answer.
        patience: seconds after which a call is not sent again; 0 sends every call once.
        transport: instead of the network, as in tests.

    Raises:
        ServiceError: from every call that has no good answer.
    """

    def __init__(
        self,
        address: str = "http://127.0.0.1:8000",
        key: str | None = None,
        *,
        timeout: float = 10.0,
        patience: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ):
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._http = httpx.Client(base_url=address, headers=headers, timeout=timeout, transport=transport)
        self._patience = patience

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def recommend(
        self,
        user: str | None = None,
        *,
        ratings: Mapping[str, float] | None = None,
        features: Mapping[str, Feature] | None = None,
        n: int = 10,
        exclude_seen: bool = True,
        exclude: Sequence[str] = (),
        candidates: Sequence[str] | None = None,
        explain: bool = False,
        min_ratings: int = 1,
    ) -> Recommendations:
        """Return what suits a known user, or somebody whose ratings are given."""
        request = Request(
            user=user,
            ratings=None if ratings is None else dict(ratings),
            features=None if features is None else dict(features),
            n=n,
            exclude_seen=exclude_seen,
            exclude=list(exclude),
            candidates=None if candidates is None else list(candidates),
            explain=explain,
            min_ratings=min_ratings,
        )
        return self._call("POST", "/v1/recommend", Recommendations, request)

    def recommend_batch(self, requests: Sequence[Request]) -> list[BatchResult]:
        """Answer requests one by one, each with a list or an error; more than a hundred take several calls."""
        results: list[BatchResult] = []
        for start in range(0, len(requests), REQUESTS_AT_ONCE):
            batch = Batch(list(requests[start : start + REQUESTS_AT_ONCE]))
            results += self._call("POST", "/v1/recommend:batch", BatchResults, batch).results
        return results

    def rate(self, user: str, item: str, rating: float | None, *, at: float | None = None) -> FeedbackResult:
        """Store one rating, or withdraw it with None; `at` is in seconds since 1970, now by default."""
        return self.feedback([FeedbackEvent(user=user, item=item, rating=rating, time=at)])[0]

    def feedback(self, events: Sequence[FeedbackEvent]) -> list[FeedbackResult]:
        """Store events, of which those without an id get one; more than a thousand take several calls.

        Where a later call fails, earlier ones are stored: send all again, with the same ids.
        """
        named = [event if event.id else replace(event, id=uuid.uuid4().hex) for event in events]
        results: list[FeedbackResult] = []
        for start in range(0, len(named), EVENTS_AT_ONCE):
            feedback = Feedback(events=named[start : start + EVENTS_AT_ONCE])
            results += self._call("POST", "/v1/feedback", FeedbackResults, feedback).results
        return results

    def user(self, user: str) -> User:
        """Return all that is kept about a user."""
        return self._call("GET", f"/v1/users/{quote(user, safe='')}", User)

    def erase(self, user: str) -> int:
        """Delete all that is kept about a user; return how many events that were, 0 if an earlier try had done it."""
        return self._call("DELETE", f"/v1/users/{quote(user, safe='')}", Erased).events

    def search(self, query: str = "", *, n: int = 10) -> list[CatalogueItem]:
        """Return items whose title holds `query`."""
        return self._call("GET", "/v1/items", CatalogueItems, params={"query": query, "n": n}).items

    def similar(self, item: str, *, n: int = 10) -> list[CatalogueItem]:
        """Return the items most like one."""
        return self._call("GET", f"/v1/items/{quote(item, safe='')}/similar", CatalogueItems, params={"n": n}).items

    def questions(self, user: str, *, n: int = 3, exclude: Sequence[str] = ()) -> list[CatalogueItem]:
        """Return the items whose rating by the user would tell most; `score` is what it would tell."""
        params = {"n": n, "exclude": list(exclude)}
        return self._call("GET", f"/v1/questions/{quote(user, safe='')}", CatalogueItems, params=params).items

    def is_ready(self) -> bool:
        """Return whether the service answers requests now; asks once."""
        try:
            return self._http.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def _call(
        self,
        method: str,
        path: str,
        answer: type[T],
        body: msgspec.Struct | None = None,
        params: dict[str, Any] | None = None,
    ) -> T:
        content = None if body is None else msgspec.json.encode(body)
        until = time.monotonic() + self._patience
        pause = FIRST_DELAY
        while True:
            response, delay = None, pause * random.uniform(0.5, 1.0)  # nosec B311 # no secret
            try:
                response = self._http.request(method, path, content=content, params=params)
            except httpx.TransportError as error:
                if time.monotonic() + delay > until:
                    raise ServiceError(
                        f"{self._http.base_url} does not answer: {error or type(error).__name__}. "
                        f"See whether the service runs there.",
                        status=None,
                        code="unreachable",
                    ) from error
            if response is not None:
                if response.is_success:
                    return msgspec.json.decode(response.content, type=answer)
                delay = max(delay, _seconds_asked_for(response))
                if response.status_code not in _SENT_AGAIN or time.monotonic() + delay > until:
                    raise _error_of(response)
            time.sleep(delay)
            pause = min(2 * pause, LONGEST_DELAY)


def _seconds_asked_for(response: httpx.Response) -> float:
    try:
        return float(response.headers.get("Retry-After", 0))
    except ValueError:
        return 0.0  # a date, which this service does not send


def _error_of(response: httpx.Response) -> ServiceError:
    try:
        error = msgspec.json.decode(response.content, type=Error).error
    except msgspec.MsgspecError:  # of something between here and the service
        message = f"{response.url} answered {response.status_code} {response.reason_phrase}, not in the service's form."
        return ServiceError(message, status=response.status_code, code="not_the_service")
    return ServiceError(error.message, status=response.status_code, code=error.code, request_id=error.request_id)
