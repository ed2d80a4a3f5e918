"""Routes for those who run the service: health and metrics."""

from litestar import MediaType, Response, get

from metajax.errors import MetajaxError
from metajax.serving.dependencies import TheService
from metajax.serving.problems import RequestError, not_ready
from metajax.serving.service import Service
from metajax.training.compilations import compilations

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@get("/health/live", media_type=MediaType.TEXT, summary="Alive")
async def live() -> str:
    """Answer while the process answers at all."""
    return "live\n"


@get("/health/ready", media_type=MediaType.TEXT, summary="Ready")
async def ready(service: TheService) -> str:
    """Answer 200 once all is compiled and the store answers, until the service is told to end."""
    await check_ready(service)
    return "ready\n"


@get("/metrics", summary="Metrics")
async def metrics(service: TheService) -> Response[bytes]:
    """Return the counters, for Prometheus."""
    service.drift.publish(service.versions.active)
    service.metrics.compilations.set(compilations())
    service.metrics.ready.set(service.is_ready)
    return Response(service.metrics.text(), media_type=PROMETHEUS)


async def check_ready(service: Service) -> None:
    """Raise the problem that keeps the service from being ready, if there is one."""
    if not service.is_ready:
        raise not_ready()
    try:
        await service.store.ready()
    except MetajaxError as error:
        raise RequestError(503, "store_gone", "The store of users cannot be reached.") from error
