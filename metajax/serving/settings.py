"""What a service allows: sizes, limits and times."""

from dataclasses import dataclass
from pathlib import Path

from metajax.errors import ConfigError


@dataclass(frozen=True)
class Buckets:
    """Sizes that requests are padded to: a program is compiled for each before the service is ready, and none later."""

    tasks: tuple[int, ...] = (1, 4, 8)
    """Requests that are answered together. Of sixteen at once eight are computed while the others are read."""
    rows: tuple[int, ...] = (32, 512)
    """Ratings that a user is adapted to at once. Of a longer history, a learner whose streaming is exact takes one part
    after another, all in all; any other learner takes the latest."""
    lists: tuple[int, ...] = (10, 100)
    """Lengths of lists: how sure it is of a hundred takes the flagship a quarter of the time, of ten hardly any."""

    def __post_init__(self) -> None:
        for name in ("tasks", "rows", "lists"):
            sizes = getattr(self, name)
            if not sizes or list(sizes) != sorted(set(sizes)) or sizes[0] < 1:
                raise ConfigError(f"Buckets ascend and hold 1 or more, got {name}={sizes}.")

    def tasks_for(self, rows: int, k: int) -> tuple[int, ...]:
        """Return the sizes of batches with so many rows and lists of k: one or as many as fit, where either is long.

        Those are rarer. A program for 4 takes 10 MB or more with the flagship, and without it 4 of long histories wait
        five milliseconds longer.
        """
        if rows == self.rows[0] and k == self.lists[0]:
            return self.tasks
        return tuple(dict.fromkeys((self.tasks[0], self.tasks[-1])))

    def lists_for(self, rows: int) -> tuple[int, ...]:
        """Return the lengths of lists with so many rows: of long histories the longest, which holds all others."""
        return self.lists if rows == self.rows[0] else self.lists[-1:]

    @staticmethod
    def smallest(sizes: tuple[int, ...], count: int) -> int:
        """Return the smallest size that holds `count`, or the largest there is."""
        return next((size for size in sizes if size >= count), sizes[-1])


@dataclass(frozen=True)
class Settings:
    """A service's choices; the command line shows them."""

    buckets: Buckets = Buckets()
    max_waiting: int = 32
    """Requests for a list that are in the service at once, four batches; one more is answered 429. Of 40, the slowest
    of a hundred beside four times the capacity took 185 ms, of 32 154 (medians of seven rounds by turns, which lie
    between 100 and 270), and as many were answered."""
    max_storing: int = 256
    """Requests with feedback that are in the service at once; one more is answered 429."""
    deadline: float = 2.0
    """Seconds after which a request is answered 504."""
    max_erasing: int = 4
    """Erasures that are in the service at once; one more is answered 429."""
    erase_deadline: float = 60.0
    """Seconds after which an erasure is answered 504: it may have the store's file rewritten."""
    max_body: int = 1 << 20
    """Bytes of a request's body; more are answered 413."""
    max_state: int = 1 << 16
    """Bytes of a user's state; larger ones are not stored but adapted anew."""
    max_versions: int = 4
    """Versions of the model that are held in memory at once."""
    models: Path | None = None
    """Folder below which an administrator may load models; the current one by default."""
    secure_cookies: bool = False
    """Mark that cookie as one for https only: right wherever the service is reached by https."""
    session_rate: float = 20.0
    """Requests per second that one such cookie may make."""
    log_requests: bool = False
    """Log every request; those that fail are logged anyway."""
    owns_process: bool = False
    """The process does nothing else: what JAX keeps of tracing is dropped before the service is ready."""
    traces: Path | None = None
    """Folder where traced programs are kept for the next process; None keeps none."""
    body_seconds: float = 10.0
    """Seconds in which a request's body must have come; later it is answered 408."""
    linger: float = 0.0
    """Seconds after SIGTERM in which requests are still taken, though the service is not ready any more."""
    drain: int = 7
    """Seconds that requests under way are given after SIGTERM, once no more are taken."""
