"""The process: a socket, uvicorn's event loop, and an orderly end."""

import ctypes
import gc
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import uvicorn

from metajax.errors import ConfigError
from metajax.serving.http import Frame
from metajax.serving.protocol import BoundedProtocol
from metajax.serving.service import Service

HEADER_SECONDS = 10.0
"""Time in which the headers of a request must have come, and the rest of a body that nobody reads."""


def open_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes any that is free.

    Raises:
        ConfigError: if the address is taken or not this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:  # a port above 65535
        raise ConfigError(f"Cannot listen on {host}:{port}: {error}. Choose another --port or --host.") from error


def settle() -> None:
    """Look no more through what stays for good, and give back the memory that compiling took."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)  # a request makes many small objects: looking less often, more go by themselves
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL("libc.so.6").malloc_trim(0)


class Server(uvicorn.Server):
    """Uvicorn, which tells the service first when the process is to end."""

    def __init__(self, app: Frame, service: Service, on_start: Callable[[], None]) -> None:
        """Prepare; `run` it with a socket. `on_start` is called once requests are accepted."""
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http=BoundedProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=service.settings.drain,
        )
        super().__init__(config)
        self._service = service
        self._on_start = on_start
        self._is_settled = False
        self._ends_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept requests; all but those of health wait for the first version."""
        await super().startup(sockets)
        self._on_start()

    async def on_tick(self, counter: int) -> bool:
        """Look after what uvicorn does not, ten times a second."""
        if counter % 10 == 0:
            self._close_those_who_are_slow()
        if self._service.is_ready and not self._is_settled:
            self._is_settled = True
            settle()
        if self._service.failure is not None or (self._ends_at is not None and time.monotonic() >= self._ends_at):
            self.should_exit = True
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End: not ready at once, then what is under way is finished. A second signal ends at once."""
        self.force_exit = self._service.is_closing
        self._service.is_closing = True
        linger = self._service.settings.linger if sig == signal.SIGTERM and not self.force_exit else 0.0
        self._ends_at = time.monotonic() + linger
        self.should_exit = not linger

    def _close_those_who_are_slow(self) -> None:
        latest = time.monotonic() - HEADER_SECONDS
        for one in list(self.server_state.connections):
            if isinstance(one, BoundedProtocol) and one.waits_since is not None and one.waits_since < latest:
                one.transport.close()
