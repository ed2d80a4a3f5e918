"""`metajax doctor`: what is installed, what is there, and a short self-test, with the fix for what is wrong."""

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

PACKAGES = ("metajax", "jax", "flax", "optax", "numpy", "polars", "orbax-checkpoint", "safetensors")


class Finding(NamedTuple):
    """One line of the doctor's table; `fix` is empty where all is well."""

    what: str
    found: str
    fix: str = ""


def doctor_verb(arguments: Sequence[str]) -> int:
    """Examine the installation."""
    import tyro

    def doctor() -> int:
        """Check versions, devices, cache and data, adapt a toy user, and say how to mend what is wrong."""
        from rich.console import Console
        from rich.table import Table

        findings = [*_versions(), *(_safely(check) for check in (_devices, _cache, _self_test)), *_data()]
        table = Table("what", "found", "to mend it")
        for one in findings:
            table.add_row(one.what, one.found, one.fix or "[green]fine[/green]")
        Console().print(table)
        return int(any(one.fix for one in findings))

    return tyro.cli(doctor, prog="metajax doctor", args=list(arguments))


def _versions() -> Iterator[Finding]:
    for package in PACKAGES:
        try:
            yield Finding(package, version(package))
        except PackageNotFoundError:
            yield Finding(package, "not installed", "pip install metajax")


def _devices() -> Finding:
    import jax

    devices = jax.devices()
    return Finding("devices", f"{len(devices)} {devices[0].platform}")


def _cache() -> Finding:
    from metajax.data.sources import cache_folder

    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / ".doctor"
    probe.write_text("here")
    probe.unlink()
    return Finding("cache", str(folder))


def _data() -> Iterator[Finding]:
    from metajax.data.sources import SOURCES, locate

    for name, source in SOURCES.items():
        yield Finding(f"data: {name}", "here" if locate(name) else f"not here; to have it, {source.how_to_get}")


def _self_test() -> Finding:
    """Fit a user of a toy world in closed form and check that the support is fitted better than before."""
    import jax
    import jax.numpy as jnp

    from metajax.data.columns import Column
    from metajax.experiment import MatrixFactorization, Ridge, SquaredError
    from metajax.types import Examples

    columns = (Column("id", "item", "category", 9),)
    loss = SquaredError().build(())
    learner = Ridge().build(MatrixFactorization().build(columns, outputs=1, offset=3.0), loss, columns)
    meta_params = learner.init(jax.random.key(0))
    items = learner.represent(meta_params, {"id": jnp.arange(1, 6)})
    support = Examples(items, jnp.array([5.0, 4.0, 5.0, 4.0, 5.0]), jnp.ones(5))
    begin = learner.begin(meta_params, {})
    states = (begin, jax.jit(learner.adapt)(meta_params, begin, support))
    errors = [jnp.abs(learner.predict(meta_params, state, items).mean - support.target).mean() for state in states]
    if not errors[1] < errors[0]:
        return Finding("self-test", "adapting does not lower the error", "install the locked requirements anew")
    return Finding("self-test", f"a toy user's error falls from {errors[0]:.2f} to {errors[1]:.2f}")


def _safely(check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:
        name = check.__name__.strip("_").replace("_", "-")
        return Finding(
            name, f"{type(error).__name__}: {error}", "see the message; reinstall, or free the folder it names"
        )
