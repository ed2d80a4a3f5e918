"""The options of an outer step change no number, and are left out where XLA does not know them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax.training import compiling


@pytest.fixture(autouse=True)
def forget():
    compiling.compiler_options.cache_clear()
    yield
    compiling.compiler_options.cache_clear()


def test_a_gradient_summed_over_tasks_is_the_same():
    def loss(weights, inputs):
        return jnp.sum(jax.vmap(lambda x: jnp.sum(jnp.tanh(x @ (weights - 0.1 * x.T @ x)) ** 2))(inputs))

    weights, inputs = jnp.ones((5, 5)), jax.random.normal(jax.random.key(0), (4, 3, 5))
    plain = jax.jit(jax.grad(loss))(weights, inputs)
    told = jax.jit(jax.grad(loss), compiler_options=compiling.compiler_options())(weights, inputs)
    np.testing.assert_allclose(told, plain, rtol=1e-12, atol=1e-12)


def test_options_that_xla_does_not_know_are_left_out(monkeypatch):
    monkeypatch.setattr(compiling, "DOTS_ONLY", {"xla_no_such_option": "x"})
    assert compiling.compiler_options() == {}


def test_other_platforms_are_told_nothing(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert compiling.compiler_options() == {}
