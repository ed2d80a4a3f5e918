"""How the commands let XLA compile and dispatch."""

import os
from pathlib import Path


def use_compilation_cache(*, min_seconds: float = 0.1) -> None:
    """Keep compiled programs in the user's cache, so that a second process starts at once.

    Args:
        min_seconds: programs that compile faster are not kept.
    """
    import jax

    from metajax.data.sources import cache_folder

    jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", min_seconds)


def programs_folder() -> Path:
    """Return the folder of traced programs in the user's cache (`metajax.training.kept`)."""
    from metajax.data.sources import cache_folder

    return cache_folder() / "programs"


def compute_in_place() -> None:
    """Let the calling thread compute on CPU, before anything is computed: for commands that answer one user at a time.

    A program of a tenth of a millisecond is not worth handing to another thread: adapting one person took 0.07 ms in
    place of 0.19. An outer step, whose parts run side by side, takes 8 % longer so: commands that train leave it.
    """
    import jax

    jax.config.update("jax_cpu_enable_async_dispatch", False)


def leave_a_core() -> None:
    """Let XLA compute on all cores but one, before anything is computed: for a service that reads and writes meanwhile.

    The variable NPROC, which is XLA's, says another number. On two cores 16 clients were answered a quarter faster so.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("NPROC", str(max(1, cores - 1)))
