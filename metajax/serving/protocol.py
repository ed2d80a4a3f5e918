"""A connection whose headers have an end, in bytes and in time: uvicorn bounds neither.

It also answers whom the service turns away, without a task and a cycle of uvicorn's: beside thousands of those a second
the requests that have a place are answered in half the time.
"""

import asyncio
import time
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from metajax.serving.http import WRITE, Headers

MOST_HEADERS = 1 << 16
"""Bytes of a request's line and headers, or of a body's trailers."""


class _Answered:
    """In place of uvicorn's cycle of a request and its answer, once the answer is written."""

    response_complete = True

    def __init__(self) -> None:
        self.message_event = asyncio.Event()


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
        if not self._is_turned_away():
            super().on_headers_complete()
            if self.cycle is not None and self.cycle.scope["method"] == "POST":
                self.cycle.scope[WRITE] = partial(self._answer, self.cycle)  # pyright: ignore[reportGeneralTypeIssues]

    def on_body(self, body: bytes) -> None:
        self._count = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_between, self.waits_since = True, None
        super().on_message_complete()

    def _is_turned_away(self) -> bool:
        """Answer at once if the service has no place: on a connection that is kept, where no answer is under way."""
        parser: Any = self.parser
        is_free = self.cycle is None or self.cycle.response_complete
        is_plain = parser.get_method() == b"POST" and parser.get_http_version() == "1.1"
        if not is_free or not is_plain or not parser.should_keep_alive() or parser.should_upgrade():
            return False
        app: Any = self.config.app  # a Frame
        away = app.turned_away({"path": self.url.decode("latin-1"), "headers": self.headers})
        if away is None:
            return False
        self._write(429, *away)
        self.cycle = _Answered()  # pyright: ignore[reportAttributeAccessIssue] # has what is asked of one that is over
        self.on_response_complete()
        return True

    async def _answer(self, cycle: RequestResponseCycle, status: int, headers: Headers, body: bytes) -> None:
        """Do what the cycle's `send` does of a whole answer to a POST, whose headers are known to be well-formed."""
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if cycle.disconnected:
            return
        self._write(status, headers if cycle.keep_alive else [*headers, (b"connection", b"close")], body)
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def _write(self, status: int, headers: Headers, body: bytes) -> None:
        lines = [b"%b: %b\r\n" % line for line in (*self.server_state.default_headers, *headers)]
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))

    def _wait(self) -> None:
        if self.waits_since is None:
            self.waits_since = time.monotonic()
