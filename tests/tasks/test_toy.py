"""Toy families have the answers that they claim."""

import jax
import jax.numpy as jnp
import numpy as np

from metajax.learners import ridge
from metajax.tasks.toy import linear_task, sinusoid_task
from metajax.types import Model


def test_a_sinusoid_is_one():
    """Its rows solve y = a sin x + b cos x with one (a, b), whose length is the amplitude."""
    for seed in range(3):
        task = sinusoid_task(jax.random.key(seed))
        x = np.concatenate([task.support.items["x"], task.query.items["x"]])[:, 0]
        y = np.concatenate([task.support.target, task.query.target])
        basis = np.stack([np.sin(x), np.cos(x)], axis=1)
        solution, *_ = np.linalg.lstsq(basis, y)
        np.testing.assert_allclose(basis @ solution, y, atol=1e-9)
        assert 0.1 <= np.linalg.norm(solution) <= 5


def test_ridge_towards_the_mean_is_the_best_on_linear_tasks():
    """The learner with the family's own mean and penalty beats a penalty ten times off either way."""
    mean = jnp.array([1.0, -2.0, 0.5])
    model = Model(
        init=lambda key: {"user": {}, "item": {}, "head": {}},
        embed_user=lambda params, user: user,
        embed_item=lambda params, items: items["x"],
        score=lambda params, user, items: items @ mean,
    )
    tasks = jax.vmap(lambda key: linear_task(key, mean, noise=1.0, support_rows=5))(
        jax.random.split(jax.random.key(0), 2000)
    )

    def error(penalty):
        learner = ridge(model, item_width=3, penalty=penalty, bias_penalty=1e6)
        meta_params = learner.init(jax.random.key(0))
        loss = lambda task: learner.loss(meta_params, task, jax.random.key(0), jnp.asarray(0.0))[0]  # noqa: E731
        return float(jax.jit(jax.vmap(loss))(tasks).mean())

    errors = {penalty: error(penalty) for penalty in (0.1, 1.0, 10.0)}
    assert min(errors, key=errors.__getitem__) == 1.0
