"""A load generator: many connections that are kept alive, each with one request under way.

It parses no more of an answer than the status and the length, so that one core asks for more than another answers.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

Found = tuple[int, bytes]
"""Status and body; 0 where the connection was lost."""


@dataclass(frozen=True)
class Door:
    """Where a service answers, and the key that opens it."""

    port: int
    key: str

    def request(self, path: str, body: Any = None) -> bytes:
        """Return a request as it is sent: POST with a body, GET without."""
        content = b"" if body is None else json.dumps(body).encode()
        lines = [
            f"{'GET' if body is None else 'POST'} {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            f"Authorization: Bearer {self.key}",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + content

    def call(self, path: str, body: Any = None) -> Any:
        """Ask once and return the JSON of the answer.

        Raises:
            RuntimeError: unless the answer is 200.
        """
        status, content = asyncio.run(self._once(self.request(path, body)))
        if status != 200:
            raise RuntimeError(f"{path} answered {status}: {content[:300]!r}")
        return json.loads(content)

    async def _once(self, request: bytes) -> Found:
        connection = await connect(self.port)
        try:
            return await connection.ask(request)
        finally:
            connection.close()


class Connection(asyncio.Protocol):
    """One connection; `ask` one thing at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._content = b""
        self._answer: asyncio.Future[Found] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name

    def data_received(self, data: bytes) -> None:
        """Look whether the answer is whole."""
        self._content += data
        end = self._content.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._content[:end].lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if len(self._content) >= end + 4 + length:
            self._told((int(head[9:12]), self._content[end + 4 :]))

    def connection_lost(self, exc: Exception | None) -> None:
        """Answer 0 to who waits."""
        self._transport = None
        self._told((0, b""))

    def _told(self, found: Found) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(found)

    @property
    def is_open(self) -> bool:
        """Whether another request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes) -> Found:
        """Send a request and wait for the answer."""
        if self._transport is None:
            return 0, b""
        self._content, self._answer = b"", asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Ask no more."""
        if self._transport is not None:
            self._transport.close()


async def connect(port: int) -> Connection:
    """Connect to a port of this machine."""
    return (await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port))[1]


@dataclass
class Load:
    """What came of a load.

    Attributes:
        seconds: it lasted.
        latencies: seconds of each answer, by status.
        wrong: answers of 200 that did not pass the check.
    """

    seconds: float = 0.0
    latencies: dict[int, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @property
    def statuses(self) -> Counter[int]:
        """How many answers there were of each status."""
        return Counter({status: len(each) for status, each in self.latencies.items()})

    @property
    def rate(self) -> float:
        """Answers of 200 a second."""
        return len(self.latencies.get(200, ())) / self.seconds

    @property
    def offered(self) -> float:
        """Answers of any status a second."""
        return sum(self.statuses.values()) / self.seconds

    def quantile(self, share: float) -> float:
        """Return the latency of answers of 200, in milliseconds, that a share of them does not exceed."""
        return 1e3 * float(np.quantile(self.latencies.get(200, [np.nan]), share))


Check = Callable[[int, bytes], str | None]
"""(number of the request, body) -> what is wrong with the answer, if anything is."""


async def load(
    port: int,
    requests: Sequence[bytes],
    *,
    clients: int,
    until: Callable[[float], bool],
    rate: float | None = None,
    check: Check | None = None,
) -> Load:
    """Ask by turns for what is in `requests` until a moment.

    Args:
        port: of the service.
        requests: taken in order, over and over, by whichever client is free.
        clients: connections.
        until: told the seconds since the beginning, says when to end.
        rate: requests a second that are to be offered; None asks again as soon as there is an answer.
        check: of answers.
    """
    found, began, turn = Load(), time.perf_counter(), 0
    pause = 0.0 if rate is None else clients / rate

    async def client(number: int) -> None:
        nonlocal turn
        connection, due = await connect(port), began + pause * number / clients
        while not until((now := time.perf_counter()) - began):
            if now < due:
                await asyncio.sleep(due - now)
            due = max(due + pause, now)
            this, turn = turn % len(requests), turn + 1
            asked = time.perf_counter()
            status, body = await connection.ask(requests[this])
            found.latencies.setdefault(status, []).append(time.perf_counter() - asked)
            if check is not None and status == 200 and (wrong := check(this, body)):
                found.wrong.append(wrong)
            if not connection.is_open:
                connection = await connect(port)
        connection.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    found.seconds = time.perf_counter() - began
    return found


def lasting(seconds: float) -> Callable[[float], bool]:
    """Return the `until` of a load that lasts so long."""
    return lambda since: since >= seconds
