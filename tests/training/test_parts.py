"""A sum in parts is the sum, and so is its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax.training.parts import in_parts

META_PARAMS = {"weights": jnp.linspace(-1.0, 1.0, 6).reshape(3, 2), "bias": jnp.asarray(0.3)}
TASKS = (jax.random.normal(jax.random.key(0), (7, 3)), jax.random.split(jax.random.key(1), 7), jnp.arange(7) < 6)


def total(meta_params, progress, tasks):
    inputs, keys, is_real = tasks
    noise = jax.vmap(lambda key: jax.random.normal(key, (2,)))(keys)
    outputs = jnp.tanh(inputs @ meta_params["weights"] + progress * noise + meta_params["bias"])
    return jnp.sum(outputs**2, where=is_real[:, None]), {"seen": jnp.sum(outputs[:, 0], where=is_real)}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 9])
def test_value_metrics_and_gradient_are_those_of_the_whole(size):
    parted, progress = in_parts(total, size), jnp.asarray(0.5)
    np.testing.assert_allclose(parted(META_PARAMS, progress, TASKS)[0], total(META_PARAMS, progress, TASKS)[0], 1e-6)

    def scaled(function):
        def loss(meta_params):
            value, metrics = function(meta_params, progress, TASKS)
            return 3.0 * value, metrics

        return jax.jit(jax.value_and_grad(loss, has_aux=True))(META_PARAMS)

    found, wanted = scaled(parted), scaled(total)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6), found, wanted)
