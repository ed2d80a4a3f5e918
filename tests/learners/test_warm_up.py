"""Meta-Embedding and MWUF: steps, gradients and warm embeddings written out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from learners.worlds import identified_model, linear_model, random_task

from metajax import models
from metajax.data import Column
from metajax.errors import ConfigError
from metajax.learners import meta_embedding, mwuf
from metajax.learners import own_embedding as own
from metajax.losses import squared_error
from metajax.models.embeddings import example

MAKERS = {
    "meta_embedding": lambda **choices: meta_embedding(identified_model(), squared_error(), content_width=3, **choices),
    "mwuf": lambda **choices: mwuf(
        identified_model(), squared_error(), content_width=3, rater_width=3, **choices
    ),
}  # fmt: skip
NETWORKS = {"meta_embedding": ["generator"], "mwuf": ["scale", "shift"]}
both = pytest.mark.parametrize("name", MAKERS)


@pytest.fixture(scope="module")
def task():
    """A task about item 2, of whom content is known too."""
    made = random_task(jax.random.key(1), support_rows=6)
    return made._replace(user=made.user | {"id": jnp.asarray(2, jnp.int32)})


def stirred(learner):
    """Meta-parameters whose networks give something else than zeros."""
    flat, unravel = ravel_pytree(learner.init(jax.random.key(0)))
    return unravel(flat + 0.3 * jax.random.normal(jax.random.key(5), flat.shape))


def begun(learner, meta_params, task):
    """The state before any rating, and the support with represented items."""
    support = task.support._replace(items=learner.represent(meta_params, task.support.items))
    return learner.begin(meta_params, task.user), support


def embedding_of(state):
    return state.embedding["user"]["id"]["embedding"]


def scores_by_hand(params, about, embedding, item_vectors):
    kernel = params["head"]["kernel"] + about @ params["user"]["kernel"] + embedding
    return params["head"]["bias"] + item_vectors @ kernel


def network_by_hand(net, inputs):
    hidden = np.tanh(np.asarray(inputs) @ net["hidden"]["kernel"] + net["hidden"]["bias"])
    return hidden @ net["output"]["kernel"] + net["output"]["bias"]


@both
def test_one_step_by_hand(name, task):
    """phi_1 = phi_0 - a 2/n sum (score - y) v, for a score that is linear in phi."""
    learner = MAKERS[name](inner_step_size=0.07)
    meta_params = stirred(learner)
    state, support = begun(learner, meta_params, task)
    phi = embedding_of(state)
    residual = scores_by_hand(meta_params["model"], task.user["about"], phi, support.items) - support.target
    expected = phi - 0.07 * 2 / 6 * residual @ support.items
    np.testing.assert_allclose(embedding_of(learner.adapt(meta_params, state, support)), expected, rtol=1e-12)


@both
def test_whole_batches_at_once_are_batches_one_by_one(name, task):
    learner = MAKERS[name](batch_rows=2)
    meta_params = stirred(learner)
    state, support = begun(learner, meta_params, task)
    stepwise = state
    for first in (0, 2, 4):
        batch = jax.tree.map(lambda leaf, first=first: leaf[first : first + 2], support)
        stepwise = learner.adapt(meta_params, stepwise, batch)
    at_once = learner.adapt(meta_params, state, support)
    for one, other in zip(jax.tree.leaves(at_once), jax.tree.leaves(stepwise), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    plain = MAKERS[name](batch_rows=6).adapt(meta_params, state, support)
    assert jnp.abs(embedding_of(plain) - embedding_of(at_once)).max() > 1e-3


@both
def test_the_networks_and_the_recommender_learn_apart(name, task):
    """The meta loss moves the networks alone, the recommender's own loss the recommender alone, all else exactly 0."""
    learner = MAKERS[name]()
    meta_params = stirred(learner)

    def base(meta_params):
        return learner.loss(meta_params, task, jax.random.key(0), jnp.float32(0))[1]["base_loss"]

    def meta(meta_params):
        total, metrics = learner.loss(meta_params, task, jax.random.key(0), jnp.float32(0))
        return total - metrics["base_loss"]

    of_base, of_meta = jax.grad(base)(meta_params), jax.grad(meta)(meta_params)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(of_meta["model"]))
    assert np.abs(of_base["model"]["user"]["id"]["embedding"][2]).max() > 0  # the loss with the id that the task has
    assert not np.any(of_base["model"]["user"]["id"]["embedding"][:2])
    for network in NETWORKS[name]:
        assert not any(np.any(leaf) for leaf in jax.tree.leaves(of_base[network]))
        assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(of_meta[network]))


def test_the_generator_learns_through_the_step(task):
    """Its gradient is that of alpha L_S(phi_0) + (1 - alpha) L_Q(phi_1), second derivatives and all."""
    learner = MAKERS["meta_embedding"](cold_weight=0.3)
    meta_params = stirred(learner)
    flat, unravel = ravel_pytree(meta_params["generator"])
    direction = jax.random.normal(jax.random.key(3), flat.shape)

    @jax.jit
    def along(step):
        moved = meta_params | {"generator": unravel(flat + step * direction)}
        return learner.loss(moved, task, jax.random.key(0), jnp.float32(0))[0]

    numeric = (along(1e-5) - along(-1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(along)(0.0), numeric, rtol=1e-6)


def test_the_losses_of_meta_embedding_by_hand(task):
    learner = MAKERS["meta_embedding"](cold_weight=0.3)
    meta_params = stirred(learner)
    params, about = meta_params["model"], task.user["about"]
    total, metrics = learner.loss(meta_params, task, jax.random.key(0), jnp.float32(0))
    state, support = begun(learner, meta_params, task)
    query_items = learner.represent(meta_params, task.query.items)
    generated = network_by_hand(meta_params["generator"], about @ params["user"]["kernel"])
    np.testing.assert_allclose(embedding_of(state), generated, rtol=1e-12)

    def error(embedding, items, target):
        return np.mean((scores_by_hand(params, about, embedding, items) - target) ** 2)

    cold = error(generated, support.items, support.target)
    after = embedding_of(learner.adapt(meta_params, state, support))
    warm = error(after, query_items, task.query.target)
    own_row = params["user"]["id"]["embedding"][2]
    all_items, targets = np.vstack([support.items, query_items]), np.hstack([support.target, task.query.target])
    np.testing.assert_allclose(metrics["base_loss"], error(own_row, all_items, targets), rtol=1e-12)
    np.testing.assert_allclose(total - metrics["base_loss"], 0.3 * cold + 0.7 * warm, rtol=1e-12)


def test_mwuf_that_neither_scales_nor_shifts_is_the_cold_model(task):
    """At the start the networks give zeros: the prediction is that of the cold embedding, at first the mean item's."""
    learner = MAKERS["mwuf"]()
    meta_params = learner.init(jax.random.key(0))
    state, support = begun(learner, meta_params, task)
    common = jnp.mean(meta_params["model"]["user"]["id"]["embedding"][1:], axis=0)
    np.testing.assert_allclose(embedding_of(state), common, rtol=1e-12)
    for one in (state, learner.adapt(meta_params, state, support)):
        cold = scores_by_hand(meta_params["model"], task.user["about"], embedding_of(one), support.items)
        np.testing.assert_allclose(learner.predict(meta_params, one, support.items).mean, cold, rtol=1e-12)


def test_the_warm_embedding_by_hand(task):
    learner = MAKERS["mwuf"]()
    meta_params = stirred(learner)
    params, about = meta_params["model"], task.user["about"]
    begin, support = begun(learner, meta_params, task)
    adapted = learner.adapt(meta_params, begin, support)
    scale = 1 + network_by_hand(meta_params["scale"], about @ params["user"]["kernel"])
    for state, raters in ((begin, jnp.zeros(3)), (adapted, support.items.mean(axis=0))):
        warm = scale * embedding_of(state) + network_by_hand(meta_params["shift"], raters)
        expected = scores_by_hand(params, about, warm, support.items)
        np.testing.assert_allclose(learner.predict(meta_params, state, support.items).mean, expected, rtol=1e-12)


def test_the_raters_of_the_query_are_not_averaged(task):
    """A query rater has no say in what another is predicted: the loss is a sum over them."""
    learner = MAKERS["mwuf"]()
    meta_params = stirred(learner)

    @jax.jit
    def loss(first, second):
        about = task.query.items["about"].at[0].add(first).at[1].add(second)
        moved = task._replace(query=task.query._replace(items={"about": about}))
        return learner.loss(meta_params, moved, jax.random.key(0), jnp.float32(0))[0]

    mixed = loss(1.0, 1.0) - loss(1.0, 0.0) - loss(0.0, 1.0) + loss(0.0, 0.0)
    np.testing.assert_allclose(mixed, 0, atol=1e-12 * abs(loss(0.0, 0.0)))
    assert abs(loss(1.0, 0.0) - loss(0.0, 0.0)) > 1e-3


COLUMNS = (
    Column("id", "user", "category", 5),
    Column("genres", "user", "bag", 4),
    Column("year", "user", "number", 1),
    Column("id", "item", "category", 6),
)
MODELS = {
    "matrix_factorization": models.matrix_factorization,
    "two_tower": models.two_tower,
    "neumf": models.neumf,
}


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_an_id_with_its_own_row_is_the_model(make):
    """Putting an id's rows in from outside gives, bit for bit, what the model gives for the id; content is id 0's."""
    model = make(COLUMNS)
    params = model.init(jax.random.key(0))
    flat, unravel = ravel_pytree(params)
    params = unravel(flat + jax.random.normal(jax.random.key(1), flat.shape))
    user = example(COLUMNS, "user") | {"genres": jnp.array([1, 3]), "id": jnp.asarray(2)}
    row = jax.tree.map(lambda table: table[2], own.own_tables(params))
    expected = model.embed_user(params["user"], user)
    np.testing.assert_array_equal(own.embed_with(model, params, user, row), expected)
    again = own.unravel_like_row(params)(ravel_pytree(row)[0])
    np.testing.assert_array_equal(own.embed_with(model, params, user | {"id": jnp.asarray(4)}, again), expected)
    zero = jax.tree.map(jnp.zeros_like, row)
    content = own.embed_content(model, params, user)
    np.testing.assert_array_equal(own.embed_with(model, params, user, zero), content)
    assert np.abs(content - expected).max() > 0


def test_choices_that_make_no_sense_are_told():
    with pytest.raises(ConfigError, match=r"user tower has no id. Give it one: identity=\('user', 'item'\)"):
        meta_embedding(linear_model(), squared_error(), content_width=3)
    with pytest.raises(ConfigError, match="user tower has no id"):
        mwuf(linear_model(), squared_error(), content_width=3, rater_width=3)
    with pytest.raises(ConfigError, match=r"cold_weight is alpha of two losses that add up to one: 0 to 1, got 1\.5"):
        MAKERS["meta_embedding"](cold_weight=1.5)
    with pytest.raises(ConfigError, match="inner_step_size of a warm-up learner must be positive, got 0"):
        MAKERS["mwuf"](inner_step_size=0.0)
    with pytest.raises(ConfigError, match="batch_rows of a warm-up learner must be positive, got 0"):
        MAKERS["meta_embedding"](batch_rows=0)
