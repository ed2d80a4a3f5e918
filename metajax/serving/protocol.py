"""A connection whose headers have an end, in bytes and in time: uvicorn bounds neither."""

import time
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADERS = 1 << 16
"""Bytes of a request's line and headers, or of a body's trailers."""


class BoundedProtocol(HttpToolsProtocol):
    """Uvicorn's connection, which counts what is no body, and knows how long it waits for what no handler reads.

    Attributes:
        waits_since: when headers began to be awaited, of the first request or of a later one that has begun, or the
            rest of a body that was answered before its end; None if neither is. A kept connection on which nothing
            has come is ended by uvicorn.
    """

    waits_since: float | None = None
    _count = 0
    _is_between = True

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.waits_since = time.monotonic()

    def data_received(self, data: bytes) -> None:
        self._count += len(data)
        if self._is_between or self.cycle.response_complete:
            self._wait()
        super().data_received(data)
        if self._count > MOST_HEADERS and not self.transport.is_closing():
            self.send_400_response("The headers are too long.")

    def on_message_begin(self) -> None:
        self._wait()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MOST_HEADERS:
            raise ValueError("The headers came at once, and are too long.")
        self._count, self._is_between, self.waits_since = 0, False, None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._count = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_between, self.waits_since = True, None
        super().on_message_complete()

    def _wait(self) -> None:
        if self.waits_since is None:
            self.waits_since = time.monotonic()
