"""The sinusoid suite: its parts, and the order of learners after a short training."""

import importlib.util
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax.tasks.toy import sinusoid_task

FOLDER = Path(__file__).parents[2] / "experiments" / "sinusoid"


@pytest.fixture(scope="module")
def suite():
    spec = importlib.util.spec_from_file_location("sinusoid_suite", FOLDER / "suite.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_module_makes_its_learner_and_says_how_to_run_it(suite):
    for name in suite.LEARNERS:
        module = suite.load(name)
        learner = module.learner(suite.network)
        assert jax.tree.leaves(jax.eval_shape(learner.init, jax.random.key(0)))
        assert f"python experiments/sinusoid/suite.py {name}" in module.__doc__
        low, high = module.BAND
        assert low < high
    assert {path.stem for path in FOLDER.glob("*.py")} == {"suite", *suite.LEARNERS}


def test_the_true_curves_are_those_of_the_supports(suite):
    """The curve at a support's x, by interpolation, is the support's target."""
    supports, curves = suite.new_tasks(10, 20)
    for task in range(20):
        at = np.interp(supports.items["x"][task, :, 0], suite.grid()[:, 0], curves[task])
        np.testing.assert_allclose(at, supports.target[task], atol=0.01)


def test_a_perfect_learner_has_no_error(suite):
    """Features sin x and cos x hold every sinusoid: y = a sin x + b cos x."""
    from metajax.learners import ridge
    from metajax.types import Model

    model = Model(
        lambda key: {"user": {}, "item": {}, "head": {}},
        lambda params, user: (),
        lambda params, items: jnp.concatenate([jnp.sin(items["x"]), jnp.cos(items["x"])], axis=1),
        lambda params, user, items: jnp.zeros(items.shape[0]),
    )
    learner = ridge(model, item_width=2, penalty=1e-6, bias_penalty=1e6)
    assert suite.mean_squared_error(learner, learner.init(jax.random.key(0)), 10) < 1e-6
    assert sinusoid_task(jax.random.key(0)).support.target.shape == (10,)


@pytest.mark.slow
@pytest.mark.usefixtures("as_users_run")
def test_the_order_of_learners_after_a_short_training(suite):
    errors = {}
    for name, steps in {"ridge": 5000, "cavia": 20_000, "maml": 20_000, "anil": 20_000}.items():
        learner = suite.load(name).learner(suite.network)
        errors[name] = suite.mean_squared_error(learner, suite.train(learner, shots=10, outer_steps=steps, seed=0), 10)
    assert errors["ridge"] < errors["cavia"] < errors["maml"] < errors["anil"]
