"""How many programs this process has compiled or fetched from the compilation cache: after the first steps, none."""

import threading
from collections import Counter

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"
_seen: Counter[int] = Counter()


def _listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
    _seen[threading.get_ident()] += event == _EVENT


jax.monitoring.register_event_duration_secs_listener(_listen)


def compilations() -> int:
    """Return the number since this module was imported."""
    return _seen.total()


def compilations_here() -> int:
    """Return the number of those that the calling thread asked for."""
    return _seen[threading.get_ident()]
