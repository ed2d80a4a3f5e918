"""The Student-t regression and ensembles: exact identities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learners.worlds import linear_model, random_task, says_of_rated
from scipy.stats import multivariate_t
from scipy.stats import t as student

from metajax.errors import ConfigError
from metajax.learners import ItemStart, bayesian_linear, ensemble, student_t
from metajax.learners.support_memory import places
from metajax.types import Examples

WIDTH = 3
GROUPS = (2, 1)
"""Widths of two groups of tokens: 1 to 4 are of the first, 5 and 6 of the second."""
TOKENS = {"token_widths": GROUPS, "num_tokens": 7}


def make(**choices):
    return student_t(linear_model(), noise_model=linear_model(), item_width=WIDTH, max_support=12, **choices)


def with_tokens(task):
    """Give every row tokens: some shared within and between support and query, some missing."""

    def put(examples, seed):
        rng, rows = np.random.default_rng(seed), len(examples.mask)
        first = np.stack([1 + rng.choice(4, 2, replace=False) for _ in range(rows)])
        tokens = np.hstack([first, rng.integers(5, 7, (rows, 1))]) * (rng.random((rows, 3)) < 0.8)
        return examples._replace(items=examples.items | {"tokens": jnp.asarray(tokens, jnp.int32)})

    return task._replace(support=put(task.support, 1), query=put(task.query, 2))


def predicted(learner, meta_params, task, *, rows=None):
    @jax.jit  # operation by operation, compiling takes longer
    def run(meta_params, task, mask):
        items = learner.represent(meta_params, task.support.items)
        support = Examples(items, task.support.target, mask)
        state = learner.adapt(meta_params, learner.begin(meta_params, task.user), support)
        return learner.predict(meta_params, state, learner.represent(meta_params, task.query.items))

    real = np.arange(len(task.support.mask)) < (len(task.support.mask) if rows is None else rows)
    return run(meta_params, task, task.support.mask * real.astype(float))


def with_ids(task):
    """Give every row an id; some rows are of items that training has not seen."""
    some = lambda examples, seed: jnp.asarray(np.random.default_rng(seed).integers(0, 2, len(examples.mask)), jnp.int32)  # noqa: E731
    put = lambda examples, seed: examples._replace(items=examples.items | {"id": some(examples, seed)})  # noqa: E731
    return task._replace(support=put(task.support, 3), query=put(task.query, 4))


@pytest.fixture(scope="module")
def task():
    return random_task(jax.random.key(1), support_rows=7, real_support=6)


@pytest.fixture(scope="module")
def world():
    """A learner with nothing at its neutral value, and its parameters."""
    learner = make(freedom=5.0, noise=0.7, prior_variance=0.3, bias_variance=0.5)
    return learner, learner.init(jax.random.key(0))


@pytest.mark.parametrize("tokens", [False, True])
def test_its_loss_is_the_marginal_likelihood_of_a_multivariate_t(task, world, tokens):
    """Shah et al., section 3, with scipy's density of all rows at once: the chain of predictions sums to it."""
    learner, meta_params = world
    if tokens:
        task = with_ids(with_tokens(task))
        learner = make(freedom=5.0, noise=0.7, prior_variance=0.3, bias_variance=0.5, unseen=0.0, **TOKENS)
        logs = {"token_variances": [0.6, 0.2], "unseen_variance": 0.7, "unseen_noise": 1.2}
        meta_params = meta_params | {f"log_{name}": jnp.log(jnp.asarray(value)) for name, value in logs.items()}
    rows = jax.tree.map(lambda one, other: jnp.concatenate([one, other]), task.support, task.query)
    model, params, noise = linear_model(), meta_params["model"], meta_params["noise_model"]
    vectors = model.embed_item(params["item"], rows.items)
    mean = model.score(params["head"], model.embed_user(params["user"], task.user), vectors)
    logs = model.score(
        noise["head"], model.embed_user(noise["user"], task.user), model.embed_item(noise["item"], rows.items)
    )
    design = np.hstack([np.ones((len(vectors), 1)), vectors])
    prior = np.diag([0.5, 0.3, 0.3, 0.3])
    signal, noises = design @ prior @ design.T, np.exp(logs)
    if tokens:  # a column per token that is 1 where an item has it, and one that is 1 where an item is unseen
        has = np.stack([(np.asarray(rows.items["tokens"]) == token).any(axis=1) for token in range(1, 7)], axis=1)
        unseen = np.asarray(rows.items["id"] == 0, float)
        assert 0 < unseen.sum() < len(unseen)
        signal = signal + has.astype(float) @ np.diag([0.6] * 4 + [0.2] * 2) @ has.T + 0.7 * np.outer(unseen, unseen)
        noises = noises * 1.2**unseen
    covariance = 0.7**2 * (np.diag(noises) + signal)
    real = np.flatnonzero(rows.mask)
    density = multivariate_t(
        np.asarray(mean)[real], covariance[np.ix_(real, real)] * (5.0 - 2) / 5.0, df=5.0
    )  # of mean s_0^2, so that the covariance is `covariance`
    wanted = -density.logpdf(np.asarray(rows.target)[real]) / len(real)
    found, _ = jax.jit(learner.loss)(meta_params, task, jax.random.key(0), jnp.zeros(()))
    np.testing.assert_allclose(found, wanted, rtol=1e-10)


def test_the_chain_is_what_is_predicted_one_row_at_a_time(task):
    """With all that a model can have, and priors apart: adapt and predict are the loss, row by row."""
    task = with_ids(with_tokens(task))
    learner = make(freedom=4.0, rated=says_of_rated(), unseen=0.0, **TOKENS)
    meta_params = learner.init(jax.random.key(0))
    rows = jax.tree.map(lambda one, other: jnp.concatenate([one, other]), task.support, task.query)
    represent, predict, adapt = jax.jit(learner.represent), jax.jit(learner.predict), jax.jit(learner.adapt)
    state, total = jax.jit(learner.begin)(meta_params, task.user), 0.0
    for row in np.flatnonzero(rows.mask):
        items = represent(meta_params, jax.tree.map(lambda leaf, row=row: leaf[row : row + 1], rows.items))
        found = predict(meta_params, state, items)
        nu = 4.0 + float(state.count)
        assert found.variance is not None
        scale = np.sqrt(found.variance[0] * (nu - 2) / nu)
        total += student.logpdf(rows.target[row], nu, found.mean[0], scale)
        state = adapt(meta_params, state, Examples(items, rows.target[row : row + 1], jnp.ones(1)))
    found, _ = jax.jit(learner.loss)(meta_params, task, jax.random.key(0), jnp.zeros(()))
    np.testing.assert_allclose(found, -total / rows.mask.sum(), rtol=1e-10)


def test_beyond_its_support_the_oldest_ratings_are_forgotten(task):
    """All of six real rows in memory for three: the last three alone, but for what having rated the others says."""
    short = student_t(linear_model(), noise_model=linear_model(), item_width=WIDTH, max_support=3)
    meta_params = short.init(jax.random.key(0))
    found = predicted(short, meta_params, task)
    last = jax.tree.map(lambda leaf: leaf[3:], task.support)
    wanted = predicted(make(), meta_params, task._replace(support=last))
    np.testing.assert_allclose(found.mean, wanted.mean, rtol=1e-12)
    np.testing.assert_allclose(found.variance, wanted.variance, rtol=1e-12)


def test_with_endless_freedom_it_is_bayesian_linear(task):
    learner = make(freedom=1e12, noise=0.8, prior_variance=0.3, bias_variance=0.5)
    other = bayesian_linear(linear_model(), item_width=WIDTH, noise=0.8, prior_variance=0.3, bias_variance=0.5)
    meta_params = learner.init(jax.random.key(0))
    silent = jax.tree.map(jnp.zeros_like, meta_params["noise_model"])
    found = predicted(learner, meta_params | {"noise_model": silent}, task)
    likened = other.init(jax.random.key(0)) | {"model": meta_params["model"]}
    wanted = predicted(other, likened, task)
    np.testing.assert_allclose(found.mean, wanted.mean, rtol=1e-9)
    np.testing.assert_allclose(found.variance, wanted.variance, rtol=1e-9)


def test_a_user_hard_to_predict_is_known_to_be(task, world):
    """Errors three times as large raise the variance, and move the mean as a linear posterior is moved."""
    learner, meta_params = world
    calm = predicted(learner, meta_params, task)
    wild_task = task._replace(
        support=task.support._replace(target=task.support.target + 5.0 * jnp.asarray([1.0, -1.0] * 3 + [1.0]))
    )
    wild = predicted(learner, meta_params, wild_task)
    assert np.all(wild.variance > 2 * calm.variance)
    none = predicted(learner, meta_params, task, rows=0)
    assert none.variance is not None
    assert np.all(np.isfinite(none.variance))


def test_an_unseen_item_has_noise_of_its_own():
    """Without a signal the noise is all there is."""
    learner = make(prior_variance=1e-20, bias_variance=1e-20, unseen_variance=0.0)
    params = learner.init(jax.random.key(0)) | {"log_unseen_noise": jnp.log(jnp.asarray(4.0))}
    task = random_task(jax.random.key(1))
    with_ids = lambda ids: task._replace(query=task.query._replace(items=task.query.items | {"id": ids}))  # noqa: E731
    unseen, known = (predicted(learner, params, with_ids(jnp.full(4, seen, jnp.int32)), rows=0) for seen in (0, 1))
    np.testing.assert_allclose(unseen.variance / known.variance, 4.0, rtol=1e-9)


@pytest.mark.parametrize("members", [0, 2])
def test_widened_it_predicts_the_same_means_more_broadly(task, members):
    """An ensemble is widened member by member; no step of training moves how wide it is."""
    learner = ensemble(make(), members) if members else make()
    params = learner.init(jax.random.key(0))
    before, after = predicted(learner, params, task), predicted(learner, learner.widen(params, 1.5), task)
    np.testing.assert_array_equal(after.mean, before.mean)
    between = (
        np.var(
            [predicted(make(), jax.tree.map(lambda leaf, n=n: leaf[n], params), task).mean for n in range(2)], axis=0
        )
        if members
        else 0
    )
    np.testing.assert_allclose(after.variance - between, 1.5**2 * (before.variance - between), rtol=1e-9)
    assert learner.labels(params)["log_spread"] == "freeze"
    slope = jax.grad(lambda p: learner.loss(p, task, jax.random.key(0), jnp.zeros(()))[0])(params)
    np.testing.assert_array_equal(slope["log_spread"], 0)


def test_an_ensemble_of_one_is_its_member(task):
    learner = make()
    whole = ensemble(learner, 1)
    stacked = whole.init(jax.random.key(0))
    member = jax.tree.map(lambda leaf: leaf[0], stacked)
    found, wanted = predicted(whole, stacked, task), predicted(learner, member, task)
    np.testing.assert_allclose(found.mean, wanted.mean, rtol=1e-12)
    np.testing.assert_allclose(found.variance, wanted.variance, rtol=1e-12)


def test_an_ensemble_predicts_the_mixture_of_its_members(task):
    learner = make()
    whole = ensemble(learner, 3)
    stacked = whole.init(jax.random.key(0))
    each = [predicted(learner, jax.tree.map(lambda leaf, n=n: leaf[n], stacked), task) for n in range(3)]
    found = predicted(whole, stacked, task)
    np.testing.assert_allclose(found.mean, np.mean([one.mean for one in each], axis=0), rtol=1e-12)
    second_moment = np.mean([one.variance + one.mean**2 for one in each], axis=0)
    np.testing.assert_allclose(found.variance, second_moment - found.mean**2, rtol=1e-9)


def test_members_learn_as_if_they_were_alone(task):
    learner = make(unseen=0.0)
    whole = ensemble(learner, 2)
    stacked = whole.init(jax.random.key(0))

    def slope(one, params):
        return jax.jit(jax.grad(lambda p: one.loss(p, task, jax.random.key(0), jnp.zeros(()))[0]))(params)

    together = jax.tree.map(lambda leaf: leaf[1], slope(whole, stacked))
    alone = slope(learner, jax.tree.map(lambda leaf: leaf[1], stacked))
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12), together, alone)


@pytest.mark.parametrize(
    ("choice", "named"),
    [
        ({"noise": 0.0}, "noise"),
        ({"rated_deviation": 0.0}, "rated_deviation"),
        ({"freedom": 2.0}, "freedom"),
        ({"unseen": 1.0}, "unseen"),
        ({"training_rows": -1}, "training_rows"),
        ({"token_variance": 0.0}, "token_variance"),
        ({"unseen_variance": -0.1}, "unseen_variance"),
        ({"noise_deviation": 0.0}, "noise_deviation"),
        ({"start": ItemStart({"factors": 0.5})}, "Priors .* of tables"),
        ({"start": ItemStart({"factors": -0.5}), "tables": linear_model()}, "Priors .* positive"),
    ],
)
def test_it_refuses(choice, named):
    with pytest.raises(ConfigError, match=named):
        make(**choice)


def test_the_noise_model_has_a_prior_of_its_own(task, world):
    """Of a deviation d it costs squares / (2 d^2), over the training rows."""
    meta_params = world[1]
    value = lambda deviation: make(training_rows=10, noise_deviation=deviation).loss(  # noqa: E731
        meta_params, task, jax.random.key(0), jnp.zeros(())
    )[0]
    squares = sum(np.sum(leaf**2) for leaf in jax.tree.leaves(meta_params["noise_model"]))
    assert squares > 0
    np.testing.assert_allclose(value(0.5) - value(1.0), 1.5 * squares / 10, rtol=1e-4)


def test_an_ensemble_wants_a_member():
    with pytest.raises(ConfigError, match="1 or more"):
        ensemble(make(), 0)


@pytest.mark.parametrize("members", [1, 2])
def test_a_state_with_room_for_its_ratings_only_predicts_the_same(task, members):
    learner = ensemble(make(**TOKENS), members)
    task = with_ids(with_tokens(task))
    meta_params = learner.init(jax.random.key(3))

    @jax.jit
    def run(meta_params, task):
        items = learner.represent(meta_params, task.support.items)
        state = learner.begin(meta_params, task.user)
        state = learner.adapt(meta_params, state, task.support._replace(items=items))
        query, small = learner.represent(meta_params, task.query.items), learner.compact(state, len(task.support.mask))
        return state, small, *(learner.predict(meta_params, one, query) for one in (state, small))

    state, small, whole, less = run(meta_params, task)
    assert small.ratings.mask.shape == (members, 7)
    assert state.ratings.mask.shape == (members, 12)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-12), whole, less)


@pytest.mark.parametrize("capacity", [4, 12])
def test_a_row_left_out_is_a_row_that_was_never_kept(task, capacity):
    """With all that predictions have: shared tokens, unseen items, signals of what was rated, a memory too short."""
    learner = student_t(
        linear_model(),
        noise_model=linear_model(),
        item_width=WIDTH,
        max_support=capacity,
        rated=says_of_rated(),
        **TOKENS,
    )
    task = with_ids(with_tokens(task))
    meta_params = learner.init(jax.random.key(3))

    @jax.jit
    def run(meta_params, task):
        items, query = (learner.represent(meta_params, one.items) for one in (task.support, task.query))
        support = task.support._replace(items=items)
        state = learner.adapt(meta_params, learner.begin(meta_params, task.user), support)
        place = places(capacity, support.mask)

        def without(row):
            mask = jnp.where(place[:, row], 0, state.ratings.mask)
            own = support.mask[row]
            rated = state.rated - own * support.items.rated[row]
            less = state._replace(ratings=state.ratings._replace(mask=mask), rated=rated, count=state.count - own)
            return learner.predict(meta_params, less, query).mean

        each = jnp.stack([without(row) for row in range(len(support.mask))])
        return place, each, learner.left_out(meta_params, state, support, query)

    place, wanted, found = run(meta_params, task)
    assert place.sum(axis=0).tolist() == ([0, 0, 1, 1, 1, 1, 0] if capacity == 4 else [1] * 6 + [0])
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    assert np.abs(found[2:6] - found[6][None]).min() > 1e-4
