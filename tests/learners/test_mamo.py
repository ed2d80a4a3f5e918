"""MAMO: what is read and what is written, against the formulas in numpy, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from learners.worlds import linear_model, random_task, random_tasks
from training import toy

from metajax.errors import ConfigError
from metajax.learners import anil, maml, mamo, paths
from metajax.learners.mamo import cosine
from metajax.losses import squared_error
from metajax.tasks.episodes import EpisodeConfig, make_buckets
from metajax.training.checkpoints import Checkpoints
from metajax.training.feed import TaskSource
from metajax.training.mover import make_mover
from metajax.training.outer import TrainState, make_outer_steps

ALPHA, BETA, GAMMA, TAU, STEP = 0.5, 0.05, 0.1, 0.01, 0.1
MEMORY = {"user_width": 3, "task_matrix": paths("head/kernel"), "inner_step_size": STEP}


def loss_of(learner, task):
    return lambda meta_params: learner.loss(meta_params, task, jax.random.key(0), jnp.asarray(0.0))[0]


def outer_step(learner, meta_params, loss, optimizer):
    """Take one step of the outer loop on a loss of one's own."""
    mover = make_mover(optimizer, learner)
    rows, features = toy.data()
    buckets = make_buckets(rows, EpisodeConfig(query_rows=3, max_support=5, buckets=()), tasks_per_step=1)
    steps = make_outer_steps(
        lambda source, key: (), lambda m, batch, progress: (loss(m), {}), mover, seed=0, num_steps=10, most=1
    )
    with jax.numpy_dtype_promotion("standard"):
        state = TrainState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.copy, meta_params), mover.init(meta_params))
        state, info = steps(state, TaskSource(rows, features, buckets), 1)
    return state.meta_params, info


def by_hand(meta_params, task, *, attended_erase=False):
    """One user by the formulas: the attention, the adapted parameters, the memories after writing, the query loss."""
    model, params = linear_model(), jax.tree.map(np.asarray, meta_params["model"])
    profile = np.asarray(task.user["about"]) @ params["user"]["kernel"]
    slots = np.asarray(meta_params["profile_memory"])
    similarity = slots @ profile / np.linalg.norm(slots, axis=1) / np.linalg.norm(profile)
    logits = similarity @ np.asarray(meta_params["attention"]["kernel"]) + np.asarray(meta_params["attention"]["bias"])
    attention = np.exp(logits) / np.exp(logits).sum()
    user_memory = np.asarray(meta_params["user_memory"]["kernel"])
    tower = params["user"]["kernel"] - TAU * np.einsum("k,kuw->uw", attention, user_memory)
    user_vector = np.asarray(task.user["about"]) @ tower
    vectors, query = (np.asarray(model.embed_item(params["item"], rows.items)) for rows in (task.support, task.query))
    kernel, bias = attention @ params["head"]["kernel"], params["head"]["bias"]
    residual = bias + vectors @ (kernel + user_vector) - np.asarray(task.support.target)
    kernel, bias = kernel - STEP * 2 * residual @ vectors / len(residual), bias - STEP * 2 * residual.mean()
    residual = bias + query @ (kernel + user_vector) - np.asarray(task.query.target)
    gradient = np.outer(np.asarray(task.user["about"]), 2 * residual @ query / len(residual))
    erase = attention if attended_erase else np.ones(3)

    def write(memory, rate, new):
        return np.stack(
            [rate * a * new + (1 - rate * e) * slot for a, e, slot in zip(attention, erase, memory, strict=True)]
        )

    written = {
        "profile": write(slots, ALPHA, profile),
        "user": write(user_memory, BETA, gradient),
        "task": write(params["head"]["kernel"], GAMMA, kernel),
    }
    return written, np.mean(residual**2)


def memories(meta_params):
    return {
        "profile": meta_params["profile_memory"],
        "user": meta_params["user_memory"]["kernel"],
        "task": meta_params["model"]["head"]["kernel"],
    }


@pytest.mark.parametrize("attended_erase", [False, True])
def test_an_outer_step_writes_the_formulas_and_reports_the_query_loss(attended_erase):
    """Whatever the outer optimiser: the memories are written whole, and nothing of it is in the loss."""
    learner = mamo(linear_model(), squared_error(), **MEMORY, attended_erase=attended_erase)
    meta_params, task = learner.init(jax.random.key(0)), random_task(jax.random.key(1))
    moved, info = outer_step(learner, meta_params, loss_of(learner, task), optax.sgd(0.3))
    expected, loss = by_hand(meta_params, task, attended_erase=attended_erase)
    for name, memory in memories(moved).items():
        np.testing.assert_allclose(memory, expected[name], rtol=1e-12, atol=1e-13, err_msg=name)
    np.testing.assert_allclose(info.loss[0], loss, rtol=1e-12)


def test_the_writes_of_a_meta_batch_are_averaged():
    learner = mamo(linear_model(), squared_error(), **MEMORY)
    meta_params, tasks = learner.init(jax.random.key(0)), random_tasks(jax.random.key(1), 3)

    def mean_loss(meta_params):
        return jnp.mean(jax.vmap(lambda task: loss_of(learner, task)(meta_params))(tasks))

    moved, _ = outer_step(learner, meta_params, mean_loss, optax.adam(0.1))
    one_by_one = [by_hand(meta_params, jax.tree.map(lambda leaf, i=i: leaf[i], tasks))[0] for i in range(3)]
    for name, memory in memories(moved).items():
        np.testing.assert_allclose(memory, np.mean([one[name] for one in one_by_one], axis=0), rtol=1e-12, atol=1e-13)


def test_the_writes_of_the_paper_shrink_the_task_memory_and_attended_ones_do_not():
    """With even attention and no inner step a slot goes by 1 - gamma (1 - 1/K) of its size, or stays."""
    sizes = {}
    for attended_erase in (False, True):
        learner = mamo(linear_model(), squared_error(), **MEMORY, inner_steps=0, attended_erase=attended_erase)
        meta_params = learner.init(jax.random.key(0))
        kernel = jnp.stack([jnp.array([0.3, -0.2, 0.5])] * 3)
        meta_params["model"]["head"]["kernel"] = kernel
        meta_params["attention"]["kernel"] = jnp.zeros((3, 3))
        gradient = jax.grad(loss_of(learner, random_task(jax.random.key(1))))(meta_params)
        sizes[attended_erase] = (kernel - gradient["model"]["head"]["kernel"]) / kernel
    np.testing.assert_allclose(sizes[False], 1 - GAMMA * (1 - 1 / 3), rtol=1e-12)
    np.testing.assert_allclose(sizes[True], 1, rtol=1e-12)


def test_what_learns_gets_the_gradient_of_the_query_loss():
    """Past the memories: the surrogate adds nothing to the towers, the head and the attention."""
    learner = mamo(linear_model(), squared_error(), **MEMORY)
    meta_params, task = learner.init(jax.random.key(0)), random_task(jax.random.key(1))
    marks = learner.labels(meta_params)
    gradient = jax.grad(loss_of(learner, task))(meta_params)
    flat, unravel = jax.flatten_util.ravel_pytree(meta_params)
    learned, _ = jax.flatten_util.ravel_pytree(
        jax.tree.map(lambda leaf, mark: jnp.full_like(leaf, float(mark == "learn")), meta_params, marks)
    )
    loss = jax.jit(lambda step, direction: loss_of(learner, task)(unravel(flat + step * direction)))
    for seed in range(3):
        direction = learned * jax.random.normal(jax.random.key(seed), flat.shape)
        numeric = (loss(1e-5, direction) - loss(-1e-5, direction)) / 2e-5
        along = jnp.sum(jax.flatten_util.ravel_pytree(gradient)[0] * direction)
        np.testing.assert_allclose(along, numeric, rtol=1e-6)
    assert jnp.any(gradient["attention"]["kernel"] != 0)
    assert {"write", "learn"} == set(jax.tree.leaves(marks))


@pytest.mark.parametrize("adapt_user", [False, True])
def test_without_a_bias_and_with_uniform_memories_it_is_maml_on_the_same_parameters(adapt_user):
    memory = mamo(linear_model(), squared_error(), **MEMORY, bias_scale=0.0, inner_steps=2, adapt_user=adapt_user)
    plain = anil(linear_model(), squared_error(), inner_steps=2, inner_step_size=STEP)
    if adapt_user:
        fast = paths("head/*", "user/*")
        plain = maml(linear_model(), squared_error(), inner_steps=2, inner_step_size=STEP, fast=fast)
    meta_params, task = memory.init(jax.random.key(0)), random_task(jax.random.key(1))
    kernel = jnp.array([0.3, -0.2, 0.5])
    head = meta_params["model"]["head"]
    uniform = meta_params["model"] | {"head": head | {"kernel": jnp.stack([kernel] * 3)}}
    shared = {"model": meta_params["model"] | {"head": head | {"kernel": kernel}}, "rule": {}}
    meta_params = meta_params | {"model": uniform}
    support = task.support._replace(items=memory.represent(meta_params, task.support.items))
    one = memory.adapt(meta_params, memory.begin(meta_params, task.user), support)
    other = plain.adapt(shared, plain.begin(shared, task.user), support)
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-12)
    np.testing.assert_allclose(loss_of(memory, task)(meta_params), loss_of(plain, task)(shared), rtol=1e-12)


def test_one_slot_is_always_attended_to():
    """With K = 1 attention is 1: the task memory is the head's matrix."""
    learner = mamo(linear_model(), squared_error(), **MEMORY, num_slots=1)
    meta_params, task = learner.init(jax.random.key(0)), random_task(jax.random.key(1))
    state = learner.begin(meta_params, task.user)
    np.testing.assert_allclose(state.fast["head"]["kernel"], meta_params["model"]["head"]["kernel"][0], rtol=1e-14)


def test_cosine_of_nothing_is_nothing():
    value, gradient = jax.value_and_grad(lambda v: cosine(v, jnp.ones((2, 3))).sum())(jnp.zeros(3))
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros(3))
    np.testing.assert_allclose(cosine(jnp.array([3.0, 4.0]), jnp.array([[6.0, 8.0], [-4.0, 3.0]])), [1, 0], atol=1e-12)


def test_a_checkpoint_keeps_the_memories(tmp_path):
    learner = mamo(linear_model(), squared_error(), **MEMORY)
    meta_params, task = learner.init(jax.random.key(0)), random_task(jax.random.key(1))
    moved, _ = outer_step(learner, meta_params, loss_of(learner, task), optax.adam(0.1))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, moved)
    restored = checkpoints.restore(meta_params)
    checkpoints.close()
    assert restored is not None
    for name, memory in memories(restored[1]).items():
        np.testing.assert_array_equal(memory, memories(moved)[name])
        assert jnp.any(memory != memories(meta_params)[name])


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="num_slots must be 1 or more, got num_slots=0"):
        mamo(linear_model(), squared_error(), **MEMORY, num_slots=0)
    with pytest.raises(ConfigError, match=r"task_rate must be in \[0, 1\], got 2"):
        mamo(linear_model(), squared_error(), **MEMORY, task_rate=2)
    with pytest.raises(ConfigError, match=r"matches none.*head/bias, head/kernel"):
        mamo(linear_model(), squared_error(), user_width=3)
