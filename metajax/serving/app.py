"""The application: routes, access and errors around a service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version as version_of

from litestar import Litestar
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from metajax.serving import (
    routes_admin,
    routes_docs,
    routes_health,
    routes_items,
    routes_kserve,
    routes_page,
    routes_recommend,
    routes_users,
)
from metajax.serving.access import Access
from metajax.serving.direct import Direct
from metajax.serving.http import Frame, StrictRequest, error_response
from metajax.serving.logs import UserHash
from metajax.serving.service import Service

HANDLERS = [
    routes_recommend.recommend,
    routes_recommend.recommend_batch,
    routes_recommend.feedback,
    routes_users.export_user,
    routes_users.erase_user,
    routes_users.session,
    routes_items.search_items,
    routes_items.similar_items,
    routes_items.questions,
    routes_page.page,
    routes_page.page_file,
    routes_docs.openapi,
    routes_docs.docs,
    routes_docs.style,
    routes_health.live,
    routes_health.ready,
    routes_health.metrics,
    routes_admin.list_models,
    routes_admin.load_model,
    routes_admin.promote_model,
    routes_admin.rollback_model,
    routes_admin.shadow_model,
    routes_admin.split_models,
    routes_kserve.live,
    routes_kserve.ready,
    routes_kserve.server_metadata,
    routes_kserve.metadata,
    routes_kserve.infer,
]


def make_app(service: Service, access: Access) -> Frame:
    """Return the ASGI application; its lifespan starts and closes the service."""

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            await service.close()

    async def the_service() -> Service:
        return service

    async def the_access() -> Access:
        return access

    app = Litestar(
        HANDLERS,
        dependencies={"service": Provide(the_service), "access": Provide(the_access)},
        guards=[access.guard],
        request_class=StrictRequest,
        request_max_body_size=service.settings.max_body,
        exception_handlers={Exception: error_response},
        lifespan=[lifespan],
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="metajax",
            version=version_of("metajax"),
            description="Recommendations that adapt to each user as they act.",
            render_plugins=[JsonRenderPlugin()],
            components=Components(security_schemes={"key": SecurityScheme(type="http", scheme="bearer")}),
            security=[{"key": []}],
        ),
    )
    full = {"/v1/recommend": service.listing.is_full, "/v1/feedback": service.storing.is_full}
    direct = Direct(app, service, access)
    return Frame(direct, service.metrics, UserHash(access.keys.derived("log")), service.settings, full)
