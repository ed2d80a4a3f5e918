"""Routes that adapt: lists, alone and in batches, and feedback."""

import asyncio
from typing import Any

import msgspec
from litestar import Request, post
from litestar.params import JSONBody
from msgspec import UNSET

from metajax.serving import schemas
from metajax.serving.access import check_user, principal
from metajax.serving.answers import ERRORS
from metajax.serving.dependencies import TheAccess, TheService
from metajax.serving.http import problem_of, request_id
from metajax.serving.problems import invalid
from metajax.serving.schemas import (
    Batch,
    BatchResult,
    BatchResults,
    ErrorBody,
    Feedback,
    FeedbackEvent,
    FeedbackResults,
)
from metajax.serving.service import Service

AT_ONCE = 8
"""Requests of a batch that are worked on at the same time: it must not take all places of the service."""


async def answer(
    service: Service, data: schemas.Request, request: Request[Any, Any, Any], name: str
) -> schemas.Recommendations:
    """Answer one request, if there is a place for it and its user may be read."""
    check_user(request, data.user)
    async with service.listing.place():
        return await service.recommend(data, name)


@post("/v1/recommend", status_code=200, opt={"scope": "recommend"}, responses=ERRORS, summary="Recommend")
async def recommend(
    data: JSONBody[schemas.Request], request: Request[Any, Any, Any], service: TheService
) -> schemas.Recommendations:
    """List what suits a known user, or somebody whose ratings are given. Whom nobody has seen gets the prior."""
    return await answer(service, data, request, request_id(request))


@post("/v1/recommend:batch", status_code=200, opt={"scope": "recommend"}, responses=ERRORS, summary="Recommend to many")
async def recommend_batch(
    data: JSONBody[Batch], request: Request[Any, Any, Any], service: TheService, access: TheAccess
) -> BatchResults:
    """Answer many requests, a few at a time; an error of one is no error of another. Each counts in a key's rate."""
    access.charge(principal(request), len(data.requests))
    name, few = request_id(request), asyncio.Semaphore(min(AT_ONCE, service.settings.max_waiting))

    async def result(number: int, one: schemas.Request) -> BatchResult:
        part = f"{name}.{number}"
        try:
            async with few:
                return BatchResult(ok=await answer(service, one, request, part))
        except Exception as error:
            problem = problem_of(error)
            if problem.status == 500:
                raise
            return BatchResult(error=ErrorBody(problem.code, str(problem), part))

    return BatchResults(await asyncio.gather(*(result(*one) for one in enumerate(data.requests))))


@post("/v1/feedback", status_code=200, opt={"scope": "feedback"}, responses=ERRORS, summary="Rate")
async def feedback(
    data: JSONBody[Feedback], request: Request[Any, Any, Any], service: TheService, access: TheAccess
) -> FeedbackResults:
    """Store events: what is answered as stored is durable, and the next list knows it. Null withdraws a rating.

    Each counts in a key's rate.
    """
    events = _events(data)
    access.charge(principal(request), len(events))
    for event in events:
        check_user(request, event.user)
    async with service.storing.place():
        return FeedbackResults(await service.feedback(events))


def _events(data: Feedback) -> list[FeedbackEvent]:
    """Read events, or the fields of one."""
    single = {
        name: value for name in ("id", "user", "item", "rating", "time") if (value := getattr(data, name)) is not UNSET
    }
    if data.events is not UNSET:
        if single:
            raise invalid("Give events, or the fields of one event, not both.")
        return data.events
    try:
        return [msgspec.convert(single, FeedbackEvent)]
    except msgspec.ValidationError as error:
        raise invalid(
            f"{error}. An event has user, item and rating (null withdraws), and may have id and time."
        ) from error
