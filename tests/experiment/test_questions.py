"""The interviews of experiments/movielens_1m/questions.py, in a world small enough to walk through."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learners.worlds import linear_model

from metajax.experiment.experiment import run_file
from metajax.learners import bayesian_linear
from metajax.ranking.questions import variance_reduction
from metajax.types import Examples

LEARNER = bayesian_linear(linear_model(), item_width=3)
ANSWERS = [np.nan, 4.0, 1.0, np.nan, 5.0]


@pytest.fixture(scope="module")
def questions():
    return run_file(Path(__file__).parents[2] / "experiments" / "movielens_1m" / "questions.py")


@pytest.fixture(scope="module")
def world(questions):
    """Somebody who knows three of five candidates, and two items to be judged on."""
    meta_params = jax.jit(LEARNER.init)(jax.random.key(0))
    items = jax.jit(LEARNER.represent)(meta_params, {"about": jax.random.normal(jax.random.key(1), (10, 3))})
    counts = jnp.array([3.0, 9.0, 7.0, 8.0, 1.0])
    catalogue = questions.Catalogue(items[:5], items[:8], counts, counts / 35, jnp.zeros(5))
    query = Examples(items[8:], jnp.array([3.0, 2.0]), jnp.ones(2))
    person = questions.Person({"about": jnp.array([0.5, -1.0])}, jnp.array(ANSWERS), query, jax.random.key(2))
    return meta_params, catalogue, person


def by_hand(world, order):
    """Return how many questions each answer took, and the error after it, where `order` chooses from what is open."""
    meta_params, catalogue, person = world
    adapt, predict = jax.jit(LEARNER.adapt), jax.jit(LEARNER.predict)
    state = LEARNER.begin(meta_params, person.user)
    error = lambda: np.mean(np.abs(np.clip(predict(meta_params, state, person.query.items).mean, 1, 5) - [3.0, 2.0]))  # noqa: E731
    questions, errors, left, asked = [0.0], [error()], list(range(5)), 0
    while any(not np.isnan(ANSWERS[one]) for one in left):
        worth = order(state)
        best = max(left, key=lambda one: (worth[one], -one))
        left.remove(best)
        asked += 1
        if not np.isnan(ANSWERS[best]):
            rows = Examples(catalogue.candidates[best][None], jnp.array([ANSWERS[best]]), jnp.ones(1))
            state = adapt(meta_params, state, rows)
            questions.append(float(asked))
            errors.append(error())
    return questions, errors


@pytest.mark.parametrize("name", ["popularity", "information"])
def test_an_interview_is_one_question_after_another(questions, world, name):
    meta_params, catalogue, person = world
    worth = questions.strategies(LEARNER, jnp.array([1.0, 5.0]))[name]
    ask = questions.interview(LEARNER, worth, most_answers=5)
    asked, absolute, squared = jax.jit(ask, static_argnums=3)(meta_params, catalogue, person, (1.0, 5.0))
    value = jax.jit(variance_reduction(LEARNER))
    information = lambda state: catalogue.counts * value(meta_params, state, catalogue.candidates, catalogue.sample)  # noqa: E731
    expected = by_hand(world, information if name == "information" else lambda state: np.asarray(catalogue.counts))
    assert asked.tolist() == [*expected[0], np.inf, np.inf]
    np.testing.assert_allclose(absolute, [*expected[1], *expected[1][-1:] * 2], rtol=1e-9)
    assert (squared >= absolute**2 - 1e-12).all()
    if name == "popularity":
        assert asked[:4].tolist() == [0, 1, 3, 5]


def test_errors_are_those_of_the_last_answer_within_the_questions(questions):
    course = questions.Course(
        np.array([[0, 2, 7.0], [0, 9, np.inf]]), np.array([[1, 0.5, 0.2], [2, 1.5, 1.5]]), np.zeros((2, 3))
    )
    assert questions.by_questions(course, 5)[0].tolist() == [0.5, 2]
    assert questions.by_questions(course, 9)[0].tolist() == [0.2, 1.5]
    np.testing.assert_array_equal(questions.by_answers(course, 2)[0], [0.2, np.nan])


def test_a_user_is_one_value_however_many_draws_there_are(questions):
    found = questions._per_user(np.array([1.0, 3.0, np.nan, 5.0, np.nan]), np.array([7, 7, 9, 9, 8]))
    np.testing.assert_array_equal(found, [2, np.nan, 5])
