"""MAMO: memories of past users give a new one a start of its own, from which the head then takes gradient steps.

With p_u the user's vector and K slots of memory, attention a = softmax(FC(cos(p_u, M_P))) reads two things:
the user tower's start phi_u = phi - tau a^T M_U, and the head's first matrix M_u = a^T M_UI. Training writes, per user,

    M_P  <- alpha a (x) p_u    + (1 - alpha) M_P
    M_U  <- beta  a (x) grad_u + (1 - beta)  M_U     grad_u: of the query loss after adapting, by the user tower
    M_UI <- gamma a (x) M_u    + (1 - gamma) M_UI    M_u after adapting

The paper writes one user at a time; here the writes of a meta-batch are averaged. Memories are leaves of `meta_params`
that are labelled "write", so checkpoints and artifacts keep them, and they get no other gradient. Adapting and
predicting never write.

What the authors' code (https://github.com/dongmanqing/Code-for-MAMO) does and this does not: draw the attention's layer
anew at every reading, so that it is never trained (`read_head`); write M_P while testing (`read_head`, whose `train` is
always True); put the shared start back over the personal one before a test user adapts
(`test_with_meta_optimization`); let the inner loop move the input embeddings, and keep them moved for the next user
(`LOCALUpdate`); save no memories.

References:
    Dong et al., 2020, "MAMO: memory-augmented meta-optimization for cold-start recommendation", section 3.3 (the
    memories) and algorithm 1. https://arxiv.org/abs/2007.03183
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax.errors import ConfigError
from metajax.learners.episode import represent_task
from metajax.learners.flows import first_order as first_order_flow
from metajax.learners.flows import full
from metajax.learners.gradient import GradientState, gradient_learner
from metajax.learners.rules import sgd
from metajax.learners.selection import Selection, check_selection, join, path_of, paths, split
from metajax.losses import Loss
from metajax.types import Key, Learner, Metrics, Model, PyTree, Task

MEMORIES = ("profile_memory", "user_memory")


def mamo(
    model: Model,
    loss: Loss,
    *,
    user_width: int,
    task_matrix: Selection | None = None,
    num_slots: int = 3,
    profile_rate: float = 0.5,
    user_rate: float = 0.05,
    task_rate: float = 0.1,
    bias_scale: float = 0.01,
    inner_steps: int = 1,
    inner_step_size: float = 0.01,
    first_order: bool = False,
    adapt_user: bool = False,
    attended_erase: bool = False,
) -> Learner:
    """Build the memory learner.

    Args:
        model: its user vector `[user_width]` is the profile p_u.
        loss: what a row costs, inside and outside.
        user_width: length of the user's vector.
        task_matrix: which parameters of the head the task memory stands for, by default the first decision layer of
            two_tower, neumf and deepfm, "head/*layers_0/kernel". In `meta_params` they have a leading slots axis.
        num_slots: K.
        profile_rate: alpha, in [0, 1].
        user_rate: beta, in [0, 1].
        task_rate: gamma, in [0, 1].
        bias_scale: tau; 0 starts every user from the shared user tower.
        inner_steps: gradient steps of one `adapt`.
        inner_step_size: their size.
        first_order: treat inner gradients as constants.
        adapt_user: move the user tower inside too, as the paper does. A user's state then holds a whole user tower.
        attended_erase: let a write erase a slot only as far as it was attended to, M <- M + rate a (x) (new - M). As
            the paper writes, a slot loses the share `rate` and gets back `rate` a, so that the task memory, which
            nothing else moves, shrinks to 0: by 1 - gamma (1 - 1/K) a step where attention is even.

    Raises:
        ConfigError: if there is no slot, a rate is outside of [0, 1], or `task_matrix` is no part of the head.
    """
    rates = {"profile_rate": profile_rate, "user_rate": user_rate, "task_rate": task_rate}
    _check(num_slots, rates)
    matrix = task_matrix or paths("head/*layers_0/kernel")
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    check_selection({"head": shapes["head"]}, matrix)
    fast = paths("head/*", "user/*") if adapt_user else paths("head/*")
    flow = first_order_flow() if first_order else full()
    inner = gradient_learner(model, loss, fast=fast, rule=sgd(inner_step_size), flow=flow, inner_steps=inner_steps)

    def in_task_memory(path: tuple) -> bool:
        name = path_of(path)
        return name.startswith("head/") and matrix(name)

    def init(key: Key) -> PyTree:
        key, slots_key, profile_key, user_key = jax.random.split(key, 4)
        meta_params = inner.init(key)
        slots = jax.vmap(model.init)(jax.random.split(slots_key, num_slots))
        params = jax.tree_util.tree_map_with_path(
            lambda path, one, all_slots: all_slots if in_task_memory(path) else one, meta_params["model"], slots
        )
        return meta_params | {
            "model": params,
            "attention": {"kernel": jnp.eye(num_slots), "bias": jnp.zeros(num_slots)},
            "profile_memory": jax.random.normal(profile_key, (num_slots, user_width)),
            "user_memory": _small_slots(user_key, params["user"], num_slots),
        }

    def labels(meta_params: PyTree) -> PyTree:
        def label(path: tuple, _: PyTree) -> str:
            part, inside = path[0].key, path[1:]
            return "write" if part in MEMORIES or (part == "model" and in_task_memory(inside)) else "learn"

        return jax.tree_util.tree_map_with_path(label, meta_params)

    def personal(meta_params: PyTree, user: PyTree) -> tuple[Array, Array, PyTree]:
        """Return the profile, the attention, and the parameters that the user starts from."""
        params = meta_params["model"]
        profile = model.embed_user(params["user"], user)
        similarity = cosine(profile, meta_params["profile_memory"])
        attention = jax.nn.softmax(similarity @ meta_params["attention"]["kernel"] + meta_params["attention"]["bias"])
        start = jax.tree_util.tree_map_with_path(
            lambda path, leaf: jnp.tensordot(attention, leaf, 1) if in_task_memory(path) else leaf, params
        )
        bias = jax.tree.map(lambda memory: jnp.tensordot(attention, memory, 1), meta_params["user_memory"])
        start["user"] = jax.tree.map(lambda phi, b: phi - bias_scale * b, params["user"], bias)
        return profile, attention, start

    def begin(meta_params: PyTree, user: PyTree) -> GradientState:
        _, _, start = personal(meta_params, user)
        return inner.begin(meta_params | {"model": start}, user)

    def outer_loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        del key, progress
        marks = labels(meta_params)
        read = jax.tree.map(lambda leaf, of: jax.lax.stop_gradient(leaf) if of == "write" else leaf, meta_params, marks)
        task, _ = represent_task(inner.represent, read, task)
        profile, attention, start = personal(read, task.user)
        state = inner.adapt(read, inner.begin(read | {"model": start}, task.user), task.support)
        adapted = join(state.fast, split(start, fast)[1])

        def query_loss(user_params: PyTree) -> jax.Array:
            scores = model.score(adapted["head"], model.embed_user(user_params, task.user), task.query.items)
            return loss.value(scores, task.query.target, task.query.mask)

        value, user_gradient = jax.value_and_grad(query_loss)(adapted["user"])
        new = read | {"profile_memory": profile, "user_memory": user_gradient, "model": adapted}
        rates = {"profile_memory": profile_rate, "user_memory": user_rate, "model": task_rate}
        return value + _writes(meta_params, new, marks, attention, rates, attended_erase), {}

    return Learner(init, inner.represent, begin, inner.adapt, inner.predict, outer_loss, labels, "continued")


def cosine(vector: Float[Array, " d"], rows: Float[Array, "slots d"]) -> Float[Array, " slots"]:
    """Return the cosine of the vector with each row; 0, with a gradient of 0, where one of them is 0."""
    square = vector @ vector * jnp.sum(rows**2, axis=1)
    return jnp.where(square > 0, rows @ vector / jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def _writes(
    meta_params: PyTree, new: PyTree, marks: PyTree, attention: Array, rates: dict[str, float], attended_erase: bool
) -> jax.Array:
    """Return 0, with the gradient memory - (memory after the write) by every memory and none by all else."""

    def write(path: tuple, memory: Array, one: Array, mark: str) -> jax.Array:
        if mark != "write":
            return jnp.zeros((), memory.dtype)
        erased = memory * jnp.expand_dims(attention, range(1, memory.ndim)) if attended_erase else memory
        away = rates[path[0].key] * (erased - jnp.tensordot(attention, one, 0))
        return jnp.sum(jax.lax.stop_gradient(away) * (memory - jax.lax.stop_gradient(memory)))

    return jax.tree.reduce(jnp.add, jax.tree_util.tree_map_with_path(write, meta_params, new, marks))


def _small_slots(key: Key, params: PyTree, num_slots: int) -> PyTree:
    """Draw `[num_slots, ...]` for every leaf, with the standard deviation 0.05 of the authors' code."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, max(len(leaves), 1))
    drawn = [
        0.05 * jax.random.normal(one, (num_slots, *leaf.shape), leaf.dtype)
        for one, leaf in zip(keys, leaves, strict=False)
    ]
    return jax.tree.unflatten(structure, drawn)


def _check(num_slots: int, rates: dict[str, float]) -> None:
    if num_slots < 1:
        raise ConfigError(f"num_slots must be 1 or more, got {num_slots=}. The paper has 3.")
    for name, rate in rates.items():
        if not 0 <= rate <= 1:
            raise ConfigError(f"{name} must be in [0, 1], got {rate}. It is the share that a write replaces.")
