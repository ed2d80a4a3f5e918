"""The page: files of this package, which a browser keeps and asks about before it uses them again."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from litestar import Request, Response, get
from litestar.params import FromPath

from metajax.serving.problems import RequestError

FOLDER = Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class PageFile(NamedTuple):
    """A file, and the name that its content has: a browser that has the name has the content."""

    content: bytes
    media_type: str
    etag: str


def read_page(folder: Path) -> Mapping[str, PageFile]:
    """Read the files of the page: what is not of a type that it is made of is not served."""
    files = {}
    for path in sorted(folder.iterdir()):
        if (kind := TYPES.get(path.suffix)) is not None:
            content = path.read_bytes()
            files[path.name] = PageFile(content, kind, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
    return MappingProxyType(files)


FILES = read_page(FOLDER)


@get("/", include_in_schema=False)
async def page(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Return the page."""
    return _answer(request, "index.html")


@get("/page/{name:str}", include_in_schema=False)
async def page_file(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
    """Return what the page is made of."""
    return _answer(request, name)


def _answer(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
    """Return a file, or that it has not changed.

    Raises:
        RequestError: 404.
    """
    file = FILES.get(name)
    if file is None:
        raise RequestError(404, "not_found", "Not Found")
    headers = {"ETag": file.etag, "Cache-Control": "no-cache"}  # kept, and asked about: no two releases are mixed
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if file.etag in known or "*" in known:
        return Response(b"", status_code=304, headers=headers, media_type=file.media_type)
    return Response(file.content, headers=headers, media_type=file.media_type)
