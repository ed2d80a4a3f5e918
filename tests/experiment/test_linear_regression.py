"""The worked example: its two gradients by hand, and that it learns."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

FILE = Path(__file__).parents[2] / "experiments" / "linear_regression.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("linear_regression", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_gradients_are_those_of_the_derivation(example):
    """d/dtheta = -2 E[r1 x1] - 2 E[r2 A^T x2] and d/dA = -2 E[r2 x2 theta^T], in numpy."""
    task = example.draw(jax.random.key(0))
    theta, matrix = np.random.default_rng(0).normal(size=3), np.random.default_rng(1).normal(size=(3, 3))
    x1, x2 = np.asarray(task.support.items["x"]), np.asarray(task.query.items["x"])
    r1, r2 = np.asarray(task.support.target) - x1 @ theta, np.asarray(task.query.target) - x2 @ matrix @ theta
    by_theta = -2 * np.mean(r1[:, None] * x1, axis=0) - 2 * np.mean(r2[:, None] * (x2 @ matrix), axis=0)
    by_matrix = -2 * np.mean([r * np.outer(x, theta) for r, x in zip(r2, x2, strict=True)], axis=0)
    meta_params = {"theta": jnp.asarray(theta), "A": jnp.asarray(matrix)}
    gradient, losses = jax.grad(example.objective, has_aux=True)(meta_params, task)
    np.testing.assert_allclose(gradient["theta"], by_theta, rtol=1e-12)
    np.testing.assert_allclose(gradient["A"], by_matrix, rtol=1e-12)
    np.testing.assert_allclose(losses, [np.mean(r1**2), np.mean(r2**2)], rtol=1e-12)


def test_it_learns_and_draws(example, tmp_path, capsys, as_users_run):
    """Theta and A theta reach the weights that the points were drawn with, as the file says."""
    example.main(tmp_path)
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert str(tmp_path / "plot.png") in capsys.readouterr().out
    meta_params, history = example.train(example.draw(jax.random.key(1)))
    np.testing.assert_allclose(meta_params["theta"], example.SEEN, atol=0.1)
    np.testing.assert_allclose(meta_params["A"] @ meta_params["theta"], example.NEW, atol=0.1)
    assert history[2][-1] < 0.02
    assert history[3][-1] < 0.02
