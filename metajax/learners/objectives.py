"""WHAT the outer loop scores: a scalar of one task's inner run."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metajax.errors import ConfigError
from metajax.types import Key, PyTree


class Run(NamedTuple):
    """One task's inner run, offered to an objective; nothing is computed before it is called.

    Attributes:
        begin: the fast parameters before any rating.
        adapt: () -> the fast parameters after the support.
        trajectory: () -> the fast parameters after every inner step on the support, leaves `[inner_steps, ...]`.
        adapt_on_all: () -> the fast parameters after all rows of the task, query included.
        support_loss: fast parameters -> mean loss over the support rows.
        query_loss: fast parameters -> mean loss over the query rows.
        task_loss: fast parameters -> mean loss over all rows of the task.
        pull: fast parameters -> the rule's proximal term.
    """

    begin: PyTree
    adapt: Callable[[], PyTree]
    trajectory: Callable[[], PyTree]
    adapt_on_all: Callable[[], PyTree]
    support_loss: Callable[[PyTree], jax.Array]
    query_loss: Callable[[PyTree], jax.Array]
    task_loss: Callable[[PyTree], jax.Array]
    pull: Callable[[PyTree], jax.Array]


class Objective(NamedTuple):
    """What is scored.

    Attributes:
        score: (run, progress in [0, 1], key) -> scalar. The key is consumed.
        needs_proximal: it means something with a proximal rule only.
        needs_everything: parameters outside the fast part would get no gradient.
        needs_steps: it looks at so many inner steps, each of them; 0 for the last alone.
        is_query_loss: it is the query's loss after the last step and nothing else.
        learns_no_rule: what adapting reached is a constant, so that nothing is learned of the rule that got there.
    """

    score: Callable[[Run, jax.Array, Key], jax.Array]
    needs_proximal: bool = False
    needs_everything: bool = False
    needs_steps: int = 0
    is_query_loss: bool = False
    learns_no_rule: bool = False


def last_step() -> Objective:
    """Score the query after the last inner step: L_Q(phi_K)."""
    return Objective(lambda run, progress, key: run.query_loss(run.adapt()), is_query_loss=True)


def without_adaptation() -> Objective:
    """Score all rows of the task with the shared parameters: ordinary joint training, no meta-learning."""
    return Objective(lambda run, progress, key: run.task_loss(run.begin))


def multi_step(inner_steps: int, *, until: float = 0.1) -> Objective:
    """Score the query after every inner step, with weights that move to the last one: MAML++'s multi-step loss.

    Args:
        inner_steps: K.
        until: share of the training after which the last step alone is scored. The paper's 15 epochs of 150.

    Raises:
        ConfigError: if there is no step, or `until` is not in [0, 1].

    References:
        Antoniou et al., 2019, "How to train your MAML", eq. 4. https://arxiv.org/abs/1810.09502
    """
    if inner_steps < 1 or not 0 <= until <= 1:
        raise ConfigError(
            f"A multi-step loss needs a step or more, and `until` in [0, 1], got {inner_steps=}, {until=}."
        )

    def score(run: Run, progress: jax.Array, key: Key) -> jax.Array:
        del key
        losses = jax.vmap(run.query_loss)(run.trajectory())
        return losses @ multi_step_weights(inner_steps, progress, until).astype(losses.dtype)

    return Objective(score, needs_steps=inner_steps)


def multi_step_weights(inner_steps: int, progress: jax.Array, until: float) -> jax.Array:
    """Return `[inner_steps]` weights that sum to one.

    At epoch e of E = until * all: max(1/K - e/(K E), 0.03/K) for all steps but the last, which gets the rest; from E on
    the last step alone.
    """
    done = jnp.clip(progress / until, 0, 1) if until > 0 else jnp.ones_like(progress)
    early = jnp.where(done < 1, jnp.maximum((1 - done) / inner_steps, 0.03 / inner_steps), 0)
    weights = jnp.full(inner_steps, early)
    return weights.at[-1].set(1 - (inner_steps - 1) * early)


def reptile_surrogate() -> Objective:
    """1/2 ||theta - phi_K||^2 with phi_K a constant, adapted on all rows: its gradient is Reptile's theta - phi_K.

    The value itself means nothing and need not fall.

    References:
        Nichol et al., 2018, "On first-order meta-learning algorithms", algorithm 1. https://arxiv.org/abs/1803.02999
    """

    def score(run: Run, progress: jax.Array, key: Key) -> jax.Array:
        del progress, key
        phi = jax.lax.stop_gradient(run.adapt_on_all())
        return jax.tree.reduce(jnp.add, jax.tree.map(lambda t, p: 0.5 * jnp.sum((t - p) ** 2), run.begin, phi))

    return Objective(score, needs_everything=True, learns_no_rule=True)


def envelope() -> Objective:
    """The inner objective's own least value, on all rows: L(phi*) + lambda / 2 ||phi* - theta||^2, phi* a constant.

    By the envelope theorem its gradient is lambda (theta - phi*) by the start, with no Hessian, and the partial
    derivative at phi* by all else.

    References:
        Zhou et al., 2019, "Efficient meta learning via minibatch proximal update", eq. 4 and theorem 1.
        https://papers.nips.cc/paper/8432-efficient-meta-learning-via-minibatch-proximal-update
    """

    def score(run: Run, progress: jax.Array, key: Key) -> jax.Array:
        del progress, key
        phi = jax.lax.stop_gradient(run.adapt_on_all())
        return run.task_loss(phi) + run.pull(phi)

    return Objective(score, needs_proximal=True)


def task_embedding_dropout(rate: float) -> Objective:
    """Score the query after dropping elements of what adapting moved: phi_0 + mask (phi_K - phi_0) / (1 - rate).

    Where the fast part is a context vector that begins at zero, this is dropout of the task's embedding.

    Raises:
        ConfigError: if `rate` is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise ConfigError(f"A dropout rate lies in [0, 1), got {rate=}.")

    def score(run: Run, progress: jax.Array, key: Key) -> jax.Array:
        del progress
        adapted = run.adapt()
        leaves, structure = jax.tree.flatten(adapted)
        keys = jax.tree.unflatten(structure, list(jax.random.split(key, max(1, len(leaves)))[: len(leaves)]))

        def drop(start: jax.Array, phi: jax.Array, one: Key) -> jax.Array:
            kept = jax.random.bernoulli(one, 1 - rate, phi.shape)
            return start + jnp.where(kept, (phi - start) / (1 - rate), 0)

        return run.query_loss(jax.tree.map(drop, run.begin, adapted, keys))

    return Objective(score)
