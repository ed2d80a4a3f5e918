"""The first k items of a catalogue for one user: exact, in one compiled program, in bounded memory.

The order is total: the higher score first, and of equal scores the lower position in the catalogue. Everything is for
ONE user, as learners are, and none of it is compiled: `jax.jit` it, and `jax.vmap` it for a batch of users, whose
memory is then users x block, not users x items.
"""

import math
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from metajax.errors import ConfigError
from metajax.types import Examples, Learner, PyTree

BLOCK = 16_384
"""Items that are scored at once. A million scores of a ridge's `predict` took 1/14 of the time of no blocks: what the
predictions need in between stays in the cache."""
GROUP = 256
"""Items whose maximum is looked at first: ten of a million took a quarter of the time of `jax.lax.top_k`; with groups
of 128 to 4096 it was the same."""


class TopItems(NamedTuple):
    """The best first; -1 and -inf where fewer than k items are left.

    Attributes:
        positions: int32 `[k]`, in the catalogue.
        scores: `[k]`, as the learner has them: not clipped.
    """

    positions: Int[Array, "*users k"]
    scores: Float[Array, "*users k"]


@runtime_checkable
class ItemScore(Protocol):
    """`(meta_params, state, representations) -> scores [items]`."""

    def __call__(self, meta_params: PyTree, state: PyTree, representations: PyTree) -> jax.Array: ...


@runtime_checkable
class Rank(Protocol):
    """`(meta_params, state, representations, excluded, allowed) -> TopItems`.

    `representations` are of the catalogue, leaves `[items, ...]`, made once per meta-parameters. `excluded` are int32
    positions that are left out, in any order; -1 is padding. `allowed`, bool `[items]`, says which items may be ranked
    at all; None allows every one.
    """

    def __call__(
        self,
        meta_params: PyTree,
        state: PyTree,
        representations: PyTree,
        excluded: Int[Array, " excluded"],
        allowed: Bool[Array, " items"] | None = None,
    ) -> TopItems: ...


@runtime_checkable
class AdaptTo(Protocol):
    """`(meta_params, representations, user, positions, target) -> state`.

    `positions` are int32 `[rows]`, the rated items in the catalogue, with -1 as padding; `target` is `[rows]`.
    """

    def __call__(
        self, meta_params: PyTree, representations: PyTree, user: PyTree, positions: jax.Array, target: jax.Array
    ) -> PyTree: ...


def adapt_to(learner: Learner) -> AdaptTo:
    """Return what adapts a new user to ratings of items of the catalogue."""

    def adapt(
        meta_params: PyTree, representations: PyTree, user: PyTree, positions: jax.Array, target: jax.Array
    ) -> PyTree:
        items = jax.tree.map(lambda leaf: leaf[jnp.maximum(positions, 0)], representations)
        support = Examples(items, target, (positions >= 0).astype(target.dtype))
        return learner.adapt(meta_params, learner.begin(meta_params, user), support)

    return adapt


def predicted_score(learner: Learner) -> ItemScore:
    """Return the score of any learner: its predictive mean."""

    def score(meta_params: PyTree, state: PyTree, representations: PyTree) -> jax.Array:
        return learner.predict(meta_params, state, representations).mean

    return score


def ranker(score: ItemScore, *, k: int = 10, block: int | None = BLOCK) -> Rank:
    """Return what ranks the catalogue for one adapted user, equal to sorting all scores.

    An item whose score is NaN or -inf is never ranked.

    Args:
        score: `predicted_score(learner)`, or `linear_score(learner)` where that holds.
        k: length of the list; it may be longer than the catalogue.
        block: items that are scored at once, which bounds the memory; None scores all at once.

    Raises:
        ConfigError: if `k` or `block` is less than 1.
    """
    if min(k, block or 1) < 1 or block == 0:
        raise ConfigError(f"A list, and a block of items, hold 1 item or more, got {k=} and {block=}.")

    def rank(
        meta_params: PyTree,
        state: PyTree,
        representations: PyTree,
        excluded: Int[Array, " excluded"],
        allowed: Bool[Array, " items"] | None = None,
    ) -> TopItems:
        num_items = jax.tree.leaves(representations)[0].shape[0]
        size = num_items if block is None else min(block, num_items)
        if size == num_items:
            return _top_of_block(score(meta_params, state, representations), allowed, excluded, k)

        def best_of_block(number: jax.Array) -> TopItems:
            start = jnp.minimum(number * size, num_items - size)  # the last reaches back: nothing is padded
            cut = lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, size)  # noqa: E731
            is_new = start + jnp.arange(size, dtype=jnp.int32) >= number * size
            is_open = is_new if allowed is None else is_new & cut(allowed)
            scores = score(meta_params, state, jax.tree.map(cut, representations))
            best = _top_of_block(scores, is_open, excluded - start, k)
            return best._replace(positions=jnp.where(best.positions < 0, -1, best.positions + start))

        def merge(best: TopItems, number: jax.Array) -> tuple[TopItems, None]:
            both = jax.tree.map(lambda *parts: jnp.concatenate(parts), best, best_of_block(number))
            scores, places = jax.lax.top_k(both.scores, k)  # what is of earlier blocks stands first, as ties want
            return TopItems(both.positions[places], scores), None

        numbers = jnp.arange(math.ceil(num_items / size), dtype=jnp.int32)
        return jax.lax.scan(merge, best_of_block(numbers[0]), numbers[1:])[0]

    return rank


def top_k(scores: Float[Array, " items"], k: int) -> tuple[Float[Array, " k"], Int[Array, " k"]]:
    """Return the k highest scores and where they are, of equal ones the lower position first; k <= items.

    The k groups with the highest maxima hold the k highest scores: every group before another has an item before all of
    that other's. So that `jax.lax.top_k`, which keeps a heap, sees only the maxima, those groups and the rest.
    """
    groups, rest = divmod(scores.shape[0], GROUP)
    if groups <= 4 * k:
        found, positions = jax.lax.top_k(scores, k)
        return found, positions
    whole = groups * GROUP
    grouped = scores[:whole].reshape(groups, GROUP)
    chosen = jnp.sort(jax.lax.top_k(jnp.max(grouped, axis=1), k)[1])  # candidates then are in the order of positions
    positions = chosen[:, None] * GROUP + jnp.arange(GROUP, dtype=jnp.int32)[None, :]
    positions = jnp.concatenate([positions.reshape(-1), whole + jnp.arange(rest, dtype=jnp.int32)])
    found, places = jax.lax.top_k(jnp.concatenate([grouped[chosen].reshape(-1), scores[whole:]]), k)
    return found, positions[places]


def _top_of_block(scores: jax.Array, allowed: jax.Array | None, excluded: jax.Array, k: int) -> TopItems:
    """Rank one block; `excluded` beyond either of its ends is of another, or padding."""
    size = scores.shape[0]
    is_open = ~jnp.isnan(scores) if allowed is None else allowed & ~jnp.isnan(scores)
    scores = jnp.where(is_open, jnp.where(scores == 0, 0, scores), -jnp.inf)  # top_k puts -0.0 below 0.0
    inside = jnp.where(excluded < 0, size, excluded)  # below 0 counts from the end
    scores = scores.at[inside].set(-jnp.inf, mode="drop")
    found, positions = top_k(scores, min(k, size))
    missing = (0, k - found.shape[0])
    return TopItems(
        jnp.pad(jnp.where(jnp.isneginf(found), -1, positions), missing, constant_values=-1),
        jnp.pad(found, missing, constant_values=-jnp.inf),
    )
