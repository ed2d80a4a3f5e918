"""What every test runs under: strict JAX, checked shapes, derandomised hypothesis in CI."""

import gc
import os
from collections.abc import Callable
from pathlib import Path

import jax
import jaxlib
import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
# Most of a test is compilation, of programs that run once: without optimisation it took 0.85 of the time.
jax.config.update("jax_disable_most_optimizations", True)
# Programs are too small to be cut in parts: tests of learners and models took .87 of the time, in two processes.
flags = ["--xla_cpu_parallel_codegen_split_count=1"]
# jaxlib 0.10's newer code generator takes longer: of three files of learners' tests .72 of the time without. Later ones
# have no other.
if jaxlib.version.__version_info__ < (0, 11):
    flags.append("--xla_cpu_use_fusion_emitters=false")
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags]).strip()

# Traces are trees of many small objects that live: looking through them took 6 % of the time.
gc.set_threshold(100_000, 50, 100)

# Shapes and types of signatures are checked in tests only. An int is accepted where a float is declared (PEP 484);
# a Protocol that a signature or a dataclass field names must be @runtime_checkable.
install_import_hook("metajax", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

# A shared runner is slow and its draws must not differ between two runs of one commit.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "desk")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a second Python run every test, and a first one every parameter."""
    parser.addoption("--first-parameters", action="store_true", help="run each test with the first of its parameters")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out all parameters of a test but the first, and the first that are slow."""
    if not config.getoption("--first-parameters"):
        return
    first: dict[tuple[str, bool], pytest.Item] = {}
    for item in items:
        first.setdefault((item.nodeid.partition("[")[0], item.get_closest_marker("slow") is None), item)
    chosen = set(first.values())
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = [item for item in items if item in chosen]


@pytest.fixture(scope="session")
def data_root() -> Callable[[str], Path]:
    """Return the folder of a named data set below $METAJAX_DATA; skip the test, with the reason, if it is not there."""

    def folder(name: str) -> Path:
        root = os.environ.get("METAJAX_DATA")
        if not root:
            pytest.skip(f"needs the data set {name}: METAJAX_DATA is not set")
        if not (Path(root) / name).is_dir():
            pytest.skip(f"needs the data set {name}: there is no {name} below METAJAX_DATA")
        return Path(root) / name

    return folder


@pytest.fixture
def as_users_run():
    """Run in float32 with JAX's ordinary promotion, as users do: optax and trained float32 parameters need it."""
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        yield
