"""What every learner promises, over the table of all learners."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from learners.table import ADAPTS, EXACT_STREAM, LEARNERS
from learners.worlds import random_task, random_tasks

from metajax.types import Examples

every_learner = pytest.mark.parametrize("name", LEARNERS)


@pytest.fixture(scope="module")
def ready():
    """Name -> (learner, meta_params, jitted adapt-and-predict), built once a module."""
    built = {}

    def get(name):
        if name not in built:
            learner = LEARNERS[name]()

            def adapted(meta_params, task):
                support = task.support._replace(items=learner.represent(meta_params, task.support.items))
                return learner.adapt(meta_params, learner.begin(meta_params, task.user), support)

            def predict(meta_params, task):
                items = learner.represent(meta_params, task.query.items)
                return learner.predict(meta_params, adapted(meta_params, task), items).mean

            built[name] = (learner, learner.init(jax.random.key(0)), jax.jit(adapted), jax.jit(predict))
        return built[name]

    return get


@every_learner
def test_shapes_and_labels(name, ready):
    learner, meta_params, _, predict = ready(name)
    task = random_task(jax.random.key(1))
    chex.assert_shape(predict(meta_params, task), (4,))
    loss, _ = learner.loss(meta_params, task, jax.random.key(2), jnp.float32(0.5))
    chex.assert_shape(loss, ())
    assert jax.tree.structure(learner.labels(meta_params)) == jax.tree.structure(meta_params)


@every_learner
def test_padding_rows_change_nothing(name, ready):
    """Rows with mask 0 may hold anything, even NaN targets."""
    _, meta_params, _, predict = ready(name)
    padded = random_task(jax.random.key(1), real_support=3)
    nonsense = padded.support.target.at[3:].set(1e3)
    other = padded._replace(support=padded.support._replace(target=nonsense))
    np.testing.assert_array_equal(predict(meta_params, padded), predict(meta_params, other))
    bare = padded._replace(support=jax.tree.map(lambda leaf: leaf[:3], padded.support))
    np.testing.assert_allclose(predict(meta_params, padded), predict(meta_params, bare), rtol=1e-10)


@every_learner
def test_empty_support_is_begin_bit_for_bit(name, ready):
    learner, meta_params, adapted, _ = ready(name)
    task = random_task(jax.random.key(1), real_support=0)
    begin = jax.jit(learner.begin)(meta_params, task.user)
    chex.assert_trees_all_equal(adapted(meta_params, task), begin)


@every_learner
def test_order_of_support_rows_does_not_matter(name, ready):
    _, meta_params, _, predict = ready(name)
    task = random_task(jax.random.key(1))
    turned = task._replace(support=jax.tree.map(lambda leaf: leaf[::-1], task.support))
    np.testing.assert_allclose(predict(meta_params, task), predict(meta_params, turned), rtol=1e-9)


@pytest.mark.parametrize("name", ADAPTS)
def test_adapting_moves_the_prediction_towards_the_support(name, ready):
    """The mean squared error on the support itself falls."""
    _, meta_params, _, predict = ready(name)
    task = random_task(jax.random.key(1))
    on_support = task._replace(query=task.support)
    empty = on_support._replace(support=task.support._replace(mask=jnp.zeros(5)))
    before = jnp.mean((predict(meta_params, empty) - task.support.target) ** 2)
    after = jnp.mean((predict(meta_params, on_support) - task.support.target) ** 2)
    assert after < before


@every_learner
def test_query_targets_are_not_read_by_adapt_or_predict(name, ready):
    _, meta_params, _, predict = ready(name)
    task = random_task(jax.random.key(1))
    hidden = task._replace(query=task.query._replace(target=jnp.full(4, jnp.nan)))
    np.testing.assert_array_equal(predict(meta_params, task), predict(meta_params, hidden))


@every_learner
def test_vmap_is_a_loop(name, ready):
    _, meta_params, _, predict = ready(name)
    tasks = random_tasks(jax.random.key(3), 3)
    batched = jax.vmap(predict, (None, 0))(meta_params, tasks)
    for index in range(3):
        one = predict(meta_params, jax.tree.map(lambda leaf, index=index: leaf[index], tasks))
        np.testing.assert_allclose(batched[index], one, rtol=1e-9)


@every_learner
def test_compiles_once(name):
    learner = LEARNERS[name]()
    meta_params = learner.init(jax.random.key(0))
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def loss(meta_params, task, key):
        return learner.loss(meta_params, task, key, jnp.float32(0))[0]

    for seed in range(3):
        loss(meta_params, random_task(jax.random.key(seed)), jax.random.key(seed))


@every_learner
def test_loss_falls_on_a_shared_linear_world(name):
    """Targets are one linear function of item and user for all users; a hundred Adam steps must find some of it."""
    learner = LEARNERS[name]()

    def world(key):
        tasks = random_tasks(key, 16)

        def target(examples):
            return examples._replace(target=3 + examples.items["about"] @ jnp.array([0.5, -1.0, 0.3]))

        return tasks._replace(support=target(tasks.support), query=target(tasks.query))

    def meta_loss(meta_params, key):
        one = lambda task: learner.loss(meta_params, task, key, jnp.float32(0))[0]  # noqa: E731
        return jnp.mean(jax.vmap(one)(world(key)))

    optimizer = optax.adam(0.05)

    def step(carry, key):
        meta_params, state = carry
        loss, gradients = jax.value_and_grad(meta_loss)(meta_params, key)
        updates, state = optimizer.update(gradients, state)
        return (optax.apply_updates(meta_params, updates), state), loss

    with jax.numpy_dtype_promotion("standard"):
        meta_params = learner.init(jax.random.key(0))
        carry = (meta_params, optimizer.init(meta_params))
        _, losses = jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys))(
            carry, jax.random.split(jax.random.key(1), 100)
        )
    assert losses[-10:].mean() < 0.5 * losses[:10].mean()


@pytest.mark.parametrize("name", EXACT_STREAM)
def test_streaming_is_exact(name, ready):
    """One rating at a time gives the state of all ratings at once."""
    learner, meta_params, adapted, _ = ready(name)
    task = random_task(jax.random.key(1), support_rows=8)
    items = learner.represent(meta_params, task.support.items)
    state = learner.begin(meta_params, task.user)
    for row in range(8):
        one = Examples(items[row : row + 1], task.support.target[row : row + 1], jnp.ones(1))
        state = learner.adapt(meta_params, state, one)
    both = adapted(meta_params, task)
    np.testing.assert_allclose(state.posterior.weights, both.posterior.weights, rtol=1e-10)
    covariance = lambda root: root @ root.T  # noqa: E731
    np.testing.assert_allclose(covariance(state.posterior.root), covariance(both.posterior.root), rtol=1e-9, atol=1e-12)
