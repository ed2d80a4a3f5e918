"""Routes of the administrator: which version of the model answers whom."""

from litestar import get, post
from litestar.params import JSONBody

from metajax.serving.answers import ERRORS, NOT_FOUND
from metajax.serving.dependencies import TheService
from metajax.serving.schemas import LoadRequest, Models, ShadowRequest, SplitRequest, VersionRequest

ADMIN = {"scope": "admin"}


@get("/v1/admin/models", opt=ADMIN, responses=ERRORS | NOT_FOUND, summary="List models")
async def list_models(service: TheService) -> Models:
    """List the versions that are held and what each does."""
    return service.versions.describe()


@post("/v1/admin/models:load", status_code=200, opt=ADMIN, responses=ERRORS | NOT_FOUND, summary="Load a model")
async def load_model(data: JSONBody[LoadRequest], service: TheService) -> Models:
    """Check, load and compile a version beside those that answer; it answers when it is promoted."""
    await service.versions.load(data.path)
    return service.versions.describe()


@post("/v1/admin/models:promote", status_code=200, opt=ADMIN, responses=ERRORS | NOT_FOUND, summary="Promote a model")
async def promote_model(data: JSONBody[VersionRequest], service: TheService) -> Models:
    """Let a version answer from the next request on."""
    service.versions.promote(data.version)
    return service.versions.describe()


@post("/v1/admin/models:rollback", status_code=200, opt=ADMIN, responses=ERRORS | NOT_FOUND, summary="Roll back")
async def rollback_model(service: TheService) -> Models:
    """Let the version answer that did before."""
    service.versions.rollback()
    return service.versions.describe()


@post(
    "/v1/admin/models:shadow",
    status_code=200,
    opt=ADMIN,
    responses=ERRORS | NOT_FOUND,
    summary="Run a model in the shadow",
)
async def shadow_model(data: JSONBody[ShadowRequest], service: TheService) -> Models:
    """Let a version run beside the active one, and count in the metrics how much of a list both share."""
    service.versions.run_in_shadow(data.version)
    return service.versions.describe()


@post("/v1/admin/models:split", status_code=200, opt=ADMIN, responses=ERRORS | NOT_FOUND, summary="Split users")
async def split_models(data: JSONBody[SplitRequest], service: TheService) -> Models:
    """Let a version answer a share of the users, always the same ones: arm b of every answer."""
    service.versions.split(data.version, data.share)
    return service.versions.describe()
