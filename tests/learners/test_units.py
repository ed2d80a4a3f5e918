"""A learner of targets in another unit is the same learner, told other numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learners.test_student_t import make, predicted
from learners.worlds import random_task

from metajax.errors import ConfigError
from metajax.learners import in_units
from metajax.ranking.explain import additive_contributions
from metajax.types import Examples

UNIT = 20.0


@pytest.fixture(scope="module")
def task():
    return random_task(jax.random.key(1), support_rows=7, real_support=6)


def told_in(unit, task):
    one, other = (part._replace(target=part.target * unit) for part in (task.support, task.query))
    return task._replace(support=one, query=other)


def test_predictions_and_loss_are_those_of_the_learner_in_its_own_unit(task):
    learner, other = make(), in_units(make(), UNIT)
    params = learner.init(jax.random.key(0))
    own, found = predicted(learner, params, task), predicted(other, params, told_in(UNIT, task))
    np.testing.assert_allclose(found.mean, UNIT * own.mean, rtol=1e-9)
    np.testing.assert_allclose(found.variance, UNIT**2 * own.variance, rtol=1e-9)
    losses = [
        one.loss(params, its, jax.random.key(3), jnp.zeros(()))[0]
        for one, its in ((learner, task), (other, told_in(UNIT, task)))
    ]
    np.testing.assert_allclose(*losses, rtol=1e-9)


def test_what_is_left_out_is_in_the_unit_too(task):
    learner, other = make(), in_units(make(), UNIT)
    params = learner.init(jax.random.key(0))

    def left_out(one, its):
        items = one.represent(params, its.support.items)
        support = Examples(items, its.support.target, its.support.mask)
        state = one.adapt(params, one.begin(params, its.user), support)
        return one.left_out(params, state, support, one.represent(params, its.query.items))

    np.testing.assert_allclose(left_out(other, told_in(UNIT, task)), UNIT * left_out(learner, task), rtol=1e-9)


@pytest.mark.slow
def test_contributions_are_in_the_unit_too(task):
    learner, other = make(), in_units(make(), UNIT)
    params = learner.init(jax.random.key(0))

    def contributed(one, its):
        rated = its.support._replace(items=one.represent(params, its.support.items))
        explained = one.represent(params, its.query.items)
        return jnp.sum(jnp.stack(additive_contributions(one)(params, rated, its.user, explained)), axis=0)

    np.testing.assert_allclose(contributed(other, told_in(UNIT, task)), UNIT * contributed(learner, task), rtol=1e-6)


@pytest.mark.parametrize("unit", [0.0, -1.0, float("nan"), float("inf")])
def test_it_wants_a_positive_unit(unit):
    with pytest.raises(ConfigError, match="wants a positive number"):
        in_units(make(), unit)
