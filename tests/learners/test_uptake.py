"""The regression of uptake: its posterior, its start and its loss, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learners.table import numbered_uptake
from learners.worlds import random_task

from metajax.data import Column
from metajax.errors import ConfigError
from metajax.experiment import CatalogueSoftmax, MatrixFactorization, TwoTower, Uptake
from metajax.learners.uptake import keep_some
from metajax.losses import squared_error
from metajax.types import Examples

IDS = (Column("id", "item", "category", 9),)


@pytest.fixture(scope="module")
def task():
    drawn = random_task(jax.random.key(1), support_rows=5, real_support=4)
    taken, wanted = jnp.array([3, 1, 9, 4, 0], jnp.int32), jnp.array([7, 2, 11, 15], jnp.int32)
    support = drawn.support._replace(items=drawn.support.items | {"number": taken})
    return drawn._replace(support=support, query=drawn.query._replace(items=drawn.query.items | {"number": wanted}))


def moved(learner):
    """Return parameters that differ from the start, so that every one of them has a say."""
    meta_params = learner.init(jax.random.key(0))
    scales = jnp.array([0.3, -0.2, 0.1])
    more = {"popularity": jnp.array(0.7), "by_rating": jnp.array(0.3), "log_scales": scales}
    return (
        meta_params
        | more
        | {"log_noise": jnp.array(-0.4), "log_says": jnp.array(1.1), "log_others": jnp.log(jnp.array([0.1, 0.3, 0.2]))}
    )


def by_hand(meta_params, task, position, items, keep):
    """Return the scores of items by the kernel, in its dual form, in numpy."""
    start = {name: np.asarray(leaf) for name, leaf in meta_params["start"].items()}
    own = np.asarray(meta_params["model"]["item"]["kernel"])

    def features(rows):
        at, vectors = np.asarray(position(rows)) + 1, np.asarray(rows["about"]) @ own
        factors = (start["factors"][at] + vectors[:, 1:]) * np.exp(np.asarray(meta_params["log_scales"]) / 2)
        return at, vectors[:, 0] + float(meta_params["popularity"]) * start["level"][at], factors

    _, level, q = features(items)
    at, _, rated = features(task.support.items)
    at, rated, rating = at[keep], rated[keep], np.asarray(task.support.target)[keep]
    y = np.exp(float(meta_params["log_says"])) * start["says"][at] * (1 + 0.3 * (rating - 3))
    noise = np.exp(start["log_noise"][at] + float(meta_params["log_noise"]))
    prior_variance = 1 / (1 + len(at) * np.exp(np.asarray(meta_params["log_others"])))
    rated_again = rated * prior_variance
    dual = np.linalg.solve(rated_again @ rated.T + np.diag(noise), y)
    user, head = (
        np.asarray(task.user["about"]) @ np.asarray(meta_params["model"]["user"]["kernel"]),
        meta_params["model"]["head"],
    )
    prior = float(head["bias"]) + np.concatenate([level[:, None], q], axis=1) @ (np.asarray(head["kernel"]) + user)
    return prior + q @ (rated_again.T @ dual)


def test_what_is_predicted_is_the_posterior_mean(task):
    learner, _, position = numbered_uptake()
    meta_params = moved(learner)
    support = Examples(learner.represent(meta_params, task.support.items), task.support.target, task.support.mask)
    state = learner.adapt(meta_params, learner.begin(meta_params, task.user), support)
    found = learner.predict(meta_params, state, learner.represent(meta_params, task.query.items)).mean
    wanted = by_hand(meta_params, task, position, task.query.items, slice(0, 4))
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_the_loss_names_the_relevant_items_of_the_query(task):
    """Over every set of ratings that may be kept there is one value; the loss is one of them."""
    liked = float(np.sort(np.asarray(task.query.target))[2])
    learner, catalogue, position = numbered_uptake(relevant=liked)
    meta_params = moved(learner)
    left = np.setdiff1d(np.arange(16), [3, 1, 9, 4])
    wanted = np.asarray(task.query.items["number"])[np.asarray(task.query.target) >= liked]
    values = []
    for kept in np.ndindex(2, 2, 2, 2):
        scores = by_hand(meta_params, task, position, catalogue, np.flatnonzero(kept))
        values.append(np.mean(np.log(np.exp(scores[left]).sum()) - scores[wanted]))
    found = [jax.jit(learner.loss)(meta_params, task, jax.random.key(key), jnp.zeros(()))[0] for key in range(8)]
    assert len({round(float(one), 9) for one in found}) > 1
    for one in found:
        assert np.min(np.abs(np.array(values) - float(one))) < 1e-9


def test_the_start_stays():
    learner, _, _ = numbered_uptake()
    labels = learner.labels(learner.init(jax.random.key(0)))
    assert set(jax.tree.leaves(labels.pop("start"))) == {"freeze"}
    assert set(jax.tree.leaves(labels)) == {"learn"}


def test_what_is_learned_of_items_has_priors(task):
    """Of single terms in units of the score, of factors in units of the size at which they start."""
    bare, weighed = (numbered_uptake(deviation=0.5, training_rows=rows)[0] for rows in (0, 40))
    meta_params = bare.init(jax.random.key(0))
    own = meta_params["model"]["item"] | {"single": jnp.full((16, 1), 0.2)}
    meta_params |= {"model": meta_params["model"] | {"item": own}}
    found = [jax.jit(one.loss)(meta_params, task, jax.random.key(0), jnp.zeros(()))[0] for one in (bare, weighed)]
    wanted = (float(jnp.sum(own["kernel"] ** 2)) / 0.7**2 + 16 * 0.04) / (2 * 0.25 * 40)
    np.testing.assert_allclose(found[1] - found[0], wanted, rtol=1e-9)


def test_the_logarithm_of_how_many_rows_are_kept_is_uniform():
    """Of 32 rows, 32^(1 - u): 31 / log 32 on average, and half of the time as many as the root or more."""
    mask = jnp.concatenate([jnp.ones(32), jnp.zeros(8)])
    kept = jax.jit(jax.vmap(lambda key: keep_some(key, mask)))(jax.random.split(jax.random.key(0), 4000))
    assert not np.any(np.asarray(kept)[:, 32:])
    counts = np.asarray(kept).sum(axis=1)
    np.testing.assert_allclose(counts.mean(), 31 / np.log(32), rtol=0.05)
    assert abs(np.mean(counts >= np.sqrt(32)) - 0.5) < 0.05


def test_it_refuses_what_makes_no_sense():
    with pytest.raises(ConfigError, match="positive deviation"):
        numbered_uptake(deviation=0.0)
    with pytest.raises(ConfigError, match="trained by catalogue softmax, got squared error"):
        numbered_uptake(loss=squared_error())
    columns = (Column("id", "item", "category", 9), Column("genres", "item", "bag", 5))
    model = MatrixFactorization(factors=2).build(columns, outputs=1, offset=0.0)
    with pytest.raises(ConfigError, match=r"An Uptake knows items by their id alone, got \['id', 'genres'\]"):
        Uptake().build(model, CatalogueSoftmax().build((0.0, 1.0)), columns)


@pytest.mark.parametrize(
    ("choices", "model", "columns", "says"),
    [
        ({}, TwoTower(embedding_dim=4, hidden=(4,)), IDS, "wants MatrixFactorization with 2 factors or more"),
        ({}, MatrixFactorization(factors=1), IDS, "wants MatrixFactorization with 2 factors or more"),
        (
            {},
            MatrixFactorization(factors=2),
            (Column("age", "user", "category", 3),),
            "there is none: --data.identity item",
        ),
        ({"priors": -1.0}, MatrixFactorization(factors=2), IDS, "A weight of priors is 0 or more, got -1"),
    ],
    ids=["no factors", "one factor", "no ids", "priors"],
)
def test_choices_that_make_no_sense_are_refused(choices, model, columns, says):
    built = model.build(IDS, outputs=1, offset=0.0)
    with pytest.raises(ConfigError, match=says):
        Uptake(**choices).build(built, CatalogueSoftmax().build((0.0, 1.0)), columns)
