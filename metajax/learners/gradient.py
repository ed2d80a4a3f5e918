"""The engine of gradient-based meta-learners: four choices make an algorithm.

fast says what moves in the inner loop, rule how it moves, flow how the outer gradient comes back, objective what
is scored. The presets beside this file are a few lines each.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from metajax.errors import ConfigError
from metajax.learners.episode import represent_task
from metajax.learners.flows import Flow, full
from metajax.learners.objectives import Objective, Run, last_step
from metajax.learners.rules import Rule, sgd
from metajax.learners.selection import Selection, check_selection, everything, join, split, touches
from metajax.losses import Loss
from metajax.types import Examples, Key, Learner, Metrics, Model, Prediction, PyTree, Task, learn_everything


class GradientState(NamedTuple):
    """One user of a gradient-based learner.

    Attributes:
        user: the user's vector, or the raw user where the user tower itself is adapted.
        fast: the adapted parameters (None where the shared ones are used).
        rule: the rule's moments.
    """

    user: PyTree
    fast: PyTree
    rule: PyTree


def gradient_learner(
    model: Model,
    loss: Loss,
    *,
    fast: Selection | None = None,
    rule: Rule | None = None,
    flow: Flow | None = None,
    objective: Objective | None = None,
    inner_steps: int = 1,
) -> Learner:
    """Build a learner that adapts by gradient steps on the support loss.

    Args:
        model: the recommender.
        loss: what a row costs, inside and outside.
        fast: which parameters move in the inner loop; all of them by default.
        rule: how they move; `sgd(0.01)` by default.
        flow: how the outer gradient comes back; `full()` by default.
        objective: what is scored; `last_step()` by default.
        inner_steps: how many steps one `adapt` takes; 0 means no adaptation.

    Raises:
        ConfigError: if `inner_steps` is negative or `fast` matches no parameter of the model.

    References:
        Finn et al., 2017, "Model-agnostic meta-learning". https://arxiv.org/abs/1703.03400
    """
    if inner_steps < 0:
        raise ConfigError(f"inner_steps must be 0 or more, got {inner_steps=}.")
    fast = fast or everything()
    rule = rule or sgd(0.01)
    flow = flow or full()
    objective = objective or last_step()
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    check_selection(shapes, fast)
    item_moves, user_moves = touches(shapes, fast, "item"), touches(shapes, fast, "user")

    def init(key: Key) -> PyTree:
        params = model.init(key)
        return {"model": params, "rule": rule.init(split(params, fast)[0])}

    def represent(meta_params: PyTree, items: PyTree) -> PyTree:
        return items if item_moves else model.embed_item(meta_params["model"]["item"], items)

    def begin(meta_params: PyTree, user: PyTree) -> GradientState:
        params = meta_params["model"]
        fast_params = split(params, fast)[0]
        vector = user if user_moves else model.embed_user(params["user"], user)
        return GradientState(vector, fast_params, rule.begin(meta_params["rule"], fast_params))

    def scores(meta_params: PyTree, user: PyTree, fast_params: PyTree, representations: PyTree) -> jax.Array:
        params = join(fast_params, split(meta_params["model"], fast)[1])
        user_vector = model.embed_user(params["user"], user) if user_moves else user
        item_vectors = model.embed_item(params["item"], representations) if item_moves else representations
        return model.score(params["head"], user_vector, item_vectors)

    def rows_loss(meta_params: PyTree, user: PyTree, fast_params: PyTree, rows: Examples) -> jax.Array:
        return loss.value(scores(meta_params, user, fast_params, rows.items), rows.target, rows.mask)

    def adapt(meta_params: PyTree, state: GradientState, support: Examples) -> GradientState:
        def step(carry: tuple[PyTree, PyTree], _: None) -> tuple[tuple[PyTree, PyTree], None]:
            fast_params, rule_state = carry
            gradients = jax.grad(lambda phi: rows_loss(meta_params, state.user, phi, support))(fast_params)
            updates, rule_state = rule.update(meta_params["rule"], rule_state, flow(gradients), fast_params)
            return (jax.tree.map(jnp.add, fast_params, updates), rule_state), None

        (fast_params, rule_state), _ = jax.lax.scan(step, (state.fast, state.rule), length=inner_steps)
        moved = state._replace(fast=fast_params, rule=rule_state)
        return jax.tree.map(lambda new, old: jnp.where(jnp.any(support.mask > 0), new, old), moved, state)

    def predict(meta_params: PyTree, state: GradientState, representations: PyTree) -> Prediction:
        return Prediction(loss.mean(scores(meta_params, state.user, state.fast, representations)))

    def outer_loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        del key
        task, rows = represent_task(represent, meta_params, task)
        state = begin(meta_params, task.user)

        def loss_on(examples: Examples, phi: PyTree) -> jax.Array:
            return rows_loss(meta_params, state.user, phi, examples)

        run = Run(
            begin=state.fast,
            adapt=lambda: adapt(meta_params, state, task.support).fast,
            support_loss=lambda phi: loss_on(task.support, phi),
            query_loss=lambda phi: loss_on(task.query, phi),
            task_loss=lambda phi: loss_on(rows, phi),
        )
        return objective(run, progress), {}

    return Learner(init, represent, begin, adapt, predict, outer_loss, learn_everything)
