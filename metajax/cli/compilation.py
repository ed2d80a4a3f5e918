"""The persistent compilation cache."""


def use_compilation_cache(*, min_seconds: float = 0.5) -> None:
    """Keep compiled programs in the user's cache, so that a second process starts at once.

    Args:
        min_seconds: programs that compile faster are not kept.
    """
    import jax

    from metajax.data.sources import cache_folder

    jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", min_seconds)
