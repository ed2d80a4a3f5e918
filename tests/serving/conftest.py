"""Tiny versions, compiled once for the tests of this folder, which run in float32: a service computes in threads."""

from functools import cache

import jax
import pytest
from serving import worlds

from metajax import Recommender
from metajax.experiment import Anil, CatalogueSoftmax, Uptake
from metajax.experiment.learners import StudentT
from metajax.serving.version import Version


@pytest.fixture(autouse=True)
def _own_cores(monkeypatch):
    """Let `metajax serve` say in this process how many cores XLA takes without saying so to the tests that follow."""
    monkeypatch.setenv("NPROC", "1")


@pytest.fixture(scope="module")
def as_services_run():
    """Set what `as_users_run` sets, in every thread, until the module ends."""
    before = jax.config.jax_enable_x64, jax.config.jax_numpy_dtype_promotion
    jax.config.update("jax_enable_x64", False)
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    yield
    jax.config.update("jax_enable_x64", before[0])
    jax.config.update("jax_numpy_dtype_promotion", before[1])


@pytest.fixture(scope="session")
def make_version():
    """Return what makes a version, once for all modules."""
    return cache(worlds.make_version)


@pytest.fixture(scope="module")
def version(as_services_run, make_version):
    """Return a version whose streaming is exact."""
    return make_version()


@pytest.fixture(scope="module")
def anew(as_services_run, make_version):
    """Return a version that is adapted anew from all ratings."""
    return make_version(Anil(), name="anew")


@pytest.fixture(scope="module")
def growing(as_services_run, make_version):
    """Return a version whose states hold ratings, and predict by as many as there are."""
    return make_version(StudentT(max_support=19, rated=False, beliefs=False), name="growing")


@pytest.fixture(scope="module")
def other(as_services_run, make_version):
    """Return another version of the same catalogue."""
    return make_version(name="two", seed=1)


@pytest.fixture(scope="module")
def ranking(as_services_run):
    """Return a version that says what is taken up next, by scores on no scale."""
    version = Version(Recommender(worlds.make_artifact(Uptake(middle=3.0), loss=CatalogueSoftmax())), "ranking")
    version.warm_up(worlds.BUCKETS)
    return version


@pytest.fixture
def running(version, tmp_path):
    with worlds.running(version, tmp_path) as one:
        yield one
