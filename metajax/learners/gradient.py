"""The engine of gradient-based meta-learners: four choices make an algorithm.

fast says what moves in the inner loop, rule how it moves, flow how the outer gradient comes back, objective what
is scored. The presets beside this file are a few lines each.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metajax.errors import ConfigError
from metajax.learners.episode import represent_task
from metajax.learners.flows import Flow, full
from metajax.learners.gram import adapted_query_loss, pays
from metajax.learners.objectives import Objective, Run, last_step
from metajax.learners.rules import Rule, sgd
from metajax.learners.selection import (
    Selection,
    check_selection,
    everything,
    join,
    path_of,
    selects_all_of,
    split,
    touches,
)
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
    frozen: Selection | None = None,
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
        frozen: which parameters the outer loop never moves, such as a context vector that begins at zero.

    Raises:
        ConfigError: if `inner_steps` is negative, `fast` matches no parameter of the model, or the choices make no
            sense together.

    References:
        Finn et al., 2017, "Model-agnostic meta-learning". https://arxiv.org/abs/1703.03400
    """
    fast, rule, flow, objective = fast or everything(), rule or sgd(0.01), flow or full(), objective or last_step()
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    check_selection(shapes, fast)
    check_choices(shapes, fast, rule, flow, objective, inner_steps)
    item_moves, user_moves = touches(shapes, fast, "item"), touches(shapes, fast, "user")
    is_plain = flow.is_uniform and objective.is_query_loss and inner_steps > 0
    dense_head = model.dense_head if is_plain and selects_all_of(shapes, fast, "head") else None

    def init(key: Key) -> PyTree:
        model_key, rule_key = jax.random.split(key)
        params = model.init(model_key)
        return {"model": params, "rule": rule.init(rule_key, split(params, fast)[0])}

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

    def rows_loss(fast_params: PyTree, rest: tuple[PyTree, PyTree, Examples]) -> jax.Array:
        meta_params, user, rows = rest
        return loss.value(scores(meta_params, user, fast_params, rows.items), rows.target, rows.mask)

    def descend(meta_params: PyTree, state: GradientState, support: Examples, progress: jax.Array) -> tuple:
        """Return (fast parameters, rule state) after the inner steps, and the fast parameters after each of them."""

        def step(carry: tuple[PyTree, PyTree], number: jax.Array) -> tuple[tuple[PyTree, PyTree], PyTree]:
            fast_params, rule_state = carry
            gradients = flow.gradient(rows_loss)(fast_params, (meta_params, state.user, support))
            gradients = flow.cut(gradients, number, inner_steps, progress)
            updates, rule_state = rule.update(meta_params["rule"], rule_state, gradients, fast_params)
            fast_params = jax.tree.map(jnp.add, fast_params, updates)
            return (fast_params, rule_state), fast_params

        numbers = jnp.arange(inner_steps, dtype=jnp.int32)
        return jax.lax.scan(flow.keep(step), (state.fast, state.rule), numbers)

    def adapt(meta_params: PyTree, state: GradientState, support: Examples) -> GradientState:
        (fast_params, rule_state), _ = descend(meta_params, state, support, jnp.ones(()))
        return _unless_empty(support, state._replace(fast=fast_params, rule=rule_state), state)

    def adapted(meta_params: PyTree, state: GradientState, support: Examples, progress: jax.Array) -> PyTree:
        """Return what `adapt` does to the fast parameters, with the way back of the flow."""

        def solver(start: PyTree, rest: tuple) -> PyTree:
            meta_params, state, support = rest
            return descend(meta_params, state._replace(fast=start), support, progress)[0][0]

        def inner_objective(fast_params: PyTree, rest: tuple) -> jax.Array:
            meta_params, state, support = rest
            pull = rule.pull(meta_params["rule"], state.rule, fast_params)
            return rows_loss(fast_params, (meta_params, state.user, support)) + pull

        moved = flow.solve(solver, inner_objective)(state.fast, (meta_params, state, support))
        return _unless_empty(support, moved, state.fast)

    def predict(meta_params: PyTree, state: GradientState, representations: PyTree) -> Prediction:
        return Prediction(loss.mean(scores(meta_params, state.user, state.fast, representations)))

    def cut_all(gradients: PyTree, progress: jax.Array) -> PyTree:
        return flow.cut(gradients, jnp.zeros((), jnp.int32), inner_steps, progress)  # a uniform one looks at no step

    def outer_loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        task, rows = represent_task(represent, meta_params, task)
        state = begin(meta_params, task.user)
        num_support = len(task.support.mask)
        if dense_head and rule.step_size and pays(dense_head, state.fast["head"], num_support, inner_steps):
            step_size, cut = rule.step_size(meta_params["rule"]), partial(cut_all, progress=progress)
            of_head = partial(adapted_query_loss, dense_head, loss, meta_params["model"]["head"], state.user, rows)
            return of_head(num_support=num_support, step_size=step_size, steps=inner_steps, cut=cut), {}

        def trajectory() -> PyTree:
            _, phis = descend(meta_params, state, task.support, progress)
            real = jnp.any(task.support.mask > 0)
            return jax.tree.map(lambda phi, start: jnp.where(real, phi, start[None]), phis, state.fast)

        run = Run(
            begin=state.fast,
            adapt=lambda: adapted(meta_params, state, task.support, progress),
            trajectory=trajectory,
            adapt_on_all=lambda: adapted(meta_params, state, rows, progress),
            support_loss=lambda phi: rows_loss(phi, (meta_params, state.user, task.support)),
            query_loss=lambda phi: rows_loss(phi, (meta_params, state.user, task.query)),
            task_loss=lambda phi: rows_loss(phi, (meta_params, state.user, rows)),
            pull=lambda phi: rule.pull(meta_params["rule"], state.rule, phi),
        )
        return objective.score(run, progress, key), {}

    def labels(meta_params: PyTree) -> PyTree:
        def label(path: tuple, _: jax.Array) -> str:
            return "freeze" if frozen is not None and frozen(path_of(path)) else "learn"

        return learn_everything(meta_params) | {"model": jax.tree_util.tree_map_with_path(label, meta_params["model"])}

    streaming = "continued" if rule.num_steps is None else "anew"
    return Learner(init, represent, begin, adapt, predict, outer_loss, labels, streaming)


def check_choices(
    shapes: PyTree, fast: Selection, rule: Rule, flow: Flow, objective: Objective, inner_steps: int
) -> None:
    """Refuse choices that make no sense together.

    Raises:
        ConfigError: saying why.
    """
    if inner_steps < 0:
        raise ConfigError(f"inner_steps must be 0 or more, got {inner_steps=}.")
    if rule.num_steps is not None and rule.num_steps != inner_steps:
        raise ConfigError(
            f"The rule's step sizes are learned for {rule.num_steps} inner steps and hold for no other number (with "
            f"more they can diverge), got {inner_steps=}. Give the rule the same number, or lift its tie."
        )
    if flow.is_implicit and not rule.is_proximal:
        raise ConfigError(
            "The implicit flow differentiates the minimiser of the support loss plus a proximal term, and the rule has "
            "none: the minimiser would not depend on where it began. Use chain(proximal(1.0), sgd(0.1))."
        )
    if flow.is_implicit and objective.needs_steps:
        raise ConfigError(
            "The implicit flow knows the minimiser only, but the objective scores every step. Use full()."
        )
    if objective.needs_steps and objective.needs_steps != inner_steps:
        raise ConfigError(
            f"The objective weighs {objective.needs_steps} inner steps, got {inner_steps=}. Give both the same number."
        )
    if objective.learns_no_rule and jax.tree.leaves(
        jax.eval_shape(rule.init, jax.random.key(0), split(shapes, fast)[0])
    ):
        raise ConfigError(
            "The rule has step sizes or the like to be learned, but this objective takes what adapting reached as a "
            "constant: they would stay as they are. Use a rule that learns nothing, such as sgd(0.01), or last_step()."
        )
    if objective.needs_proximal and not rule.is_proximal:
        raise ConfigError(
            "The envelope objective needs a proximal rule: without one the start has no gradient. "
            "Use chain(proximal(1.0), sgd(0.1))."
        )
    if objective.needs_everything and jax.tree.leaves(split(shapes, fast)[1]):
        raise ConfigError(
            "Reptile moves the start towards what adapting reached, so parameters outside the fast part would never be "
            "learned. Use fast=everything()."
        )


def _unless_empty(support: Examples, moved: PyTree, state: PyTree) -> PyTree:
    """Take `moved` if there is a real row, else `state`, bit for bit."""
    real = jnp.any(support.mask > 0)
    return jax.tree.map(lambda new, old: jnp.where(real, new, old), moved, state)
