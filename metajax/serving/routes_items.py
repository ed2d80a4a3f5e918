"""Routes about items: search, and items that are alike."""

from typing import Annotated

from litestar import get
from litestar.params import FromPath, QueryParameter

from metajax.serving.answers import ERRORS, NOT_FOUND
from metajax.serving.dependencies import TheService
from metajax.serving.problems import RequestError
from metajax.serving.schemas import CatalogueItem, CatalogueItems
from metajax.serving.version import Version

Count = Annotated[int, QueryParameter(ge=1, le=100)]


@get("/v1/items", opt={"scope": "recommend"}, responses=ERRORS, summary="Search items")
async def search_items(
    service: TheService, wanted: Annotated[str, QueryParameter(name="query", max_length=200)] = "", n: Count = 10
) -> CatalogueItems:
    """Return items whose title holds the query, the popular first."""
    version = service.versions.active
    return CatalogueItems(version.name, [_item(version, one) for one in version.catalogue.search(wanted, n)])


@get("/v1/items/{item:str}/similar", opt={"scope": "recommend"}, responses=ERRORS | NOT_FOUND, summary="Items alike")
async def similar_items(service: TheService, item: FromPath[str], n: Count = 10) -> CatalogueItems:
    """Return the items of which a rating of this one tells the most, and by how much of a star for each star of it."""
    version = service.versions.active
    position = version.catalogue.position(item)
    if position is None:
        raise RequestError(404, "unknown_item", "There is no such item in the catalogue.")
    async with service.listing.place():
        positions, scores = await service.similar(version, position, n)
    found = zip(positions.tolist(), scores.tolist(), strict=True)
    return CatalogueItems(version.name, [_item(version, one, score) for one, score in found])


def _item(version: Version, position: int, score: float | None = None) -> CatalogueItem:
    catalogue = version.catalogue
    item = CatalogueItem(catalogue.ids[position], catalogue.titles[position], int(catalogue.num_ratings[position]))
    if score is not None:
        item.score = score
    return item
