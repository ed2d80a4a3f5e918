"""The description of the API: for programs, and as a page that needs no script and no other host."""

from html import escape
from typing import Any

from litestar import MediaType, Request, Response, get

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code { font: 0.95em ui-monospace, monospace; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid #8888; border-radius: 0.5rem; }
section { border-top: 1px solid #8888; padding: 0.5rem 0; }
"""
METHODS = ("get", "post", "delete")


@get("/openapi.json", include_in_schema=False)
async def openapi(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Return the description for programs."""
    return request.app.openapi_schema.to_schema()


@get("/docs", include_in_schema=False, media_type=MediaType.HTML)
async def docs(request: Request[Any, Any, Any]) -> str:
    """Return the description for people."""
    schema = request.app.openapi_schema.to_schema()
    sections = [
        _section(method, path, operations[method])
        for path, operations in schema["paths"].items()
        for method in METHODS
        if method in operations
    ]
    call = "curl -H 'Authorization: Bearer KEY' ADDRESS/v1/recommend --json '{\"user\": \"u1\"}'"
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>metajax: the API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="/docs.css">'
        f"</head><body><h1>{escape(schema['info']['title'])} {escape(schema['info']['version'])}</h1>"
        f"<p>{escape(schema['info']['description'])} For programs: <a href='/openapi.json'>/openapi.json</a>.</p>"
        f"<pre>{escape(call)}</pre>{''.join(sections)}</body></html>"
    )


@get("/docs.css", include_in_schema=False)
async def style() -> Response[str]:
    """Return the page's style."""
    return Response(STYLE, media_type="text/css")


def _section(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<li><code>{escape(one['name'])}</code>: {escape(one['in'])}</li>" for one in operation.get("parameters", [])
    )
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    takes = f"<p>Body: <code>{escape(body['$ref'].rsplit('/', 1)[-1])}</code></p>" if "$ref" in body else ""
    return (
        f"<section><h2><code>{method.upper()} {escape(path)}</code></h2>"
        f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>"
        f"{takes}{f'<ul>{parameters}</ul>' if parameters else ''}</section>"
    )
