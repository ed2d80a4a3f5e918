"""Routes that adapt: lists, alone and in batches, and feedback."""

import asyncio
from typing import Any

import msgspec
from litestar import Request, post
from litestar.params import JSONBody
from msgspec import UNSET

from metajax.serving import schemas
from metajax.serving.access import check_user
from metajax.serving.answers import ERRORS
from metajax.serving.dependencies import TheService
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
async def recommend_batch(data: JSONBody[Batch], request: Request[Any, Any, Any], service: TheService) -> BatchResults:
    """Answer many requests; an error of one is no error of another."""
    name = request_id(request)

    async def result(number: int, one: schemas.Request) -> BatchResult:
        part = f"{name}.{number}"
        try:
            return BatchResult(ok=await answer(service, one, request, part))
        except Exception as error:
            problem = problem_of(error)
            if problem.status == 500:
                raise
            return BatchResult(error=ErrorBody(problem.code, str(problem), part))

    return BatchResults(await asyncio.gather(*(result(*one) for one in enumerate(data.requests))))


@post("/v1/feedback", status_code=200, opt={"scope": "feedback"}, responses=ERRORS, summary="Rate")
async def feedback(data: JSONBody[Feedback], request: Request[Any, Any, Any], service: TheService) -> FeedbackResults:
    """Store events: what is answered as stored is durable, and the next list knows it. Null withdraws a rating."""
    events = _events(data)
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
