"""Routes about items: search, items that are alike, and which to ask about."""

import asyncio
from typing import Annotated, Any

from litestar import Request, get
from litestar.params import FromPath, QueryParameter

from metajax.ranking.recommendation import Match
from metajax.serving.answers import ERRORS, NOT_FOUND
from metajax.serving.dependencies import TheService
from metajax.serving.problems import RequestError
from metajax.serving.programs import QUESTIONS
from metajax.serving.routes_users import user_of_path
from metajax.serving.schemas import CatalogueItem, CatalogueItems
from metajax.serving.version import Version

Count = Annotated[int, QueryParameter(ge=1, le=100)]


@get("/v1/items", opt={"scope": "recommend"}, responses=ERRORS, summary="Search items")
async def search_items(
    service: TheService, wanted: Annotated[str, QueryParameter(name="query", max_length=200)] = "", n: Count = 10
) -> CatalogueItems:
    """Return the items whose titles match a text best; without a text, the most rated."""
    version = service.versions.active
    if not wanted.strip():
        return CatalogueItems(version.name, [_item(version, one) for one in version.catalogue.popular(n)])
    async with service.listing.place():
        found = await asyncio.to_thread(version.recommender.search, wanted, n)
    return CatalogueItems(version.name, [_match(version, one) for one in found])


@get("/v1/items/{item:str}/similar", opt={"scope": "recommend"}, responses=ERRORS | NOT_FOUND, summary="Items alike")
async def similar_items(service: TheService, item: FromPath[str], n: Count = 10) -> CatalogueItems:
    """Return the items most like one, to the model."""
    version = service.versions.active
    position = version.catalogue.position(item)
    if position is None:
        raise RequestError(404, "unknown_item", "There is no such item in the catalogue.")
    async with service.listing.place():
        found = await asyncio.to_thread(version.recommender.similar, version.artifact.item_ids[position], n)
    return CatalogueItems(version.name, [_match(version, one) for one in found])


@get("/v1/questions/{user:path}", opt={"scope": "recommend"}, responses=ERRORS, summary="What to ask next")
async def questions(
    service: TheService,
    request: Request[Any, Any, Any],
    user: FromPath[str],
    n: Annotated[int, QueryParameter(ge=1, le=QUESTIONS)] = 5,
    exclude: Annotated[list[str] | None, QueryParameter(max_items=1000)] = None,
) -> CatalogueItems:
    """Return the items whose ratings would tell the most of a user; `exclude` what they said they do not know."""
    name = user_of_path(request)
    async with service.listing.place():
        version, positions, worth = await service.questions(name, n, exclude or [])
    found = zip(positions.tolist(), worth.tolist(), strict=True)
    return CatalogueItems(version.name, [_item(version, one, score) for one, score in found])


def _match(version: Version, match: Match) -> CatalogueItem:
    position = version.catalogue.position(str(match.item))
    return _item(version, position or 0, match.score)


def _item(version: Version, position: int, score: float | None = None) -> CatalogueItem:
    catalogue = version.catalogue
    item = CatalogueItem(catalogue.ids[position], catalogue.titles[position], int(catalogue.num_ratings[position]))
    if score is not None:
        item.score = score
    return item
