"""Routes about one user: what is kept, forgetting it, and the page's session."""

import re
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from litestar import Request, Response, delete, get
from litestar.datastructures import Cookie
from litestar.params import FromPath

from metajax.serving.access import COOKIE, check_user, principal
from metajax.serving.answers import ERRORS, NOT_FOUND
from metajax.serving.dependencies import TheAccess, TheService
from metajax.serving.feedback import SEPARATOR
from metajax.serving.problems import RequestError, invalid
from metajax.serving.schemas import Erased, Session, StoredEvent, User, UserId
from metajax.serving.tokens import SESSION_SECONDS

SESSIONS_PER_SECOND = 20.0
_PATH = re.compile(rb"/v1/[^/]+/(.*)", re.DOTALL)


@get("/v1/users/{user:path}", opt={"scope": "feedback"}, responses=ERRORS, summary="Export a user")
async def export_user(user: FromPath[str], request: Request[Any, Any, Any], service: TheService) -> User:
    """Return all that is kept about a user; of somebody whom nobody has seen, empty lists."""
    name = user_of_path(request)
    async with service.listing.place():
        record, version = await service.user(name)
    titles, position = version.catalogue.titles, version.catalogue.position
    events = [
        StoredEvent(
            id=event.id.removeprefix(f"{name}{SEPARATOR}"),
            item=event.item,
            title=None if (found := position(event.item)) is None else titles[found],
            rating=event.rating,
            time=event.time,
        )
        for event in record.events
    ]
    revision = None if record.state is None else record.state.revision
    return User(name, record.ratings(), events, version.name, revision)


@delete("/v1/users/{user:path}", status_code=200, opt={"scope": "feedback"}, responses=ERRORS, summary="Forget a user")
async def erase_user(user: FromPath[str], request: Request[Any, Any, Any], service: TheService) -> Response[Erased]:
    """Delete all that is kept about a user: events and states. A session that is bound to the user ends."""
    name = user_of_path(request)
    async with service.erasing.place():
        response = Response(Erased(name, await service.erase(name)))
    if principal(request).name.startswith("session:"):
        response.delete_cookie(COOKIE, path="/")
    return response


@get("/v1/session", responses=NOT_FOUND, summary="Begin a session")
async def session(request: Request[Any, Any, Any], service: TheService, access: TheAccess) -> Response[Session]:
    """Return the anonymous user of the page's cookie, and set the cookie where there is none yet."""
    if access.sessions is None:
        raise RequestError(404, "not_found", "This service gives no sessions.")
    version = service.versions.active
    old = access.sessions.find(request.cookies.get(COOKIE, ""))
    if old is None and (seconds := access.rates.wait("sessions", SESSIONS_PER_SECOND)):
        raise RequestError(429, "rate", "Too many sessions begin at once.", retry_after=seconds)
    user, cookie = (old.user or "", None) if old else access.sessions.create()
    low, high = scale = version.artifact.scale
    levels = list(version.artifact.levels)[:100]
    response = Response(Session(user, version.name, low, high, levels, predicts_ratings=version.bounds == scale))
    if cookie is not None:
        secure = service.settings.secure_cookies
        kept = Cookie(COOKIE, value=cookie, max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=secure)
        response.set_cookie(kept)
    return response


def user_of_path(request: Request[Any, Any, Any]) -> str:
    """Return the user that a path such as /v1/users/<id> names, as it was sent; who asks must be allowed to ask.

    Ids may hold slashes, of which the parameter that a handler gets has lost those at its ends.
    """
    sent = _PATH.fullmatch(unquote_to_bytes(request.scope["raw_path"].partition(b"?")[0]))
    try:
        name = msgspec.convert(sent[1].decode() if sent else "", UserId)
    except (UnicodeDecodeError, msgspec.ValidationError) as error:
        raise invalid(f"The path does not end with a user's id: {error}.") from error
    check_user(request, name)
    return name
