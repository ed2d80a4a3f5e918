"""How many programs this process has compiled or fetched from the compilation cache: after the first steps, none."""

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"
_seen = 0


def _listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
    global _seen
    _seen += event == _EVENT


jax.monitoring.register_event_duration_secs_listener(_listen)


def compilations() -> int:
    """Return the number since this module was imported."""
    return _seen
