"""Why an item is predicted as it is: the effect of each of a user's ratings.

Everything is for ONE user, as learners are, and none of it is compiled: `jax.jit` it, and `jax.vmap` it for a batch.
Effects are in units of the target, of predictions that are not clipped to the scale.

`leave_one_out_effects` is for any learner. With ratings that agree each effect is small though together they matter.
`additive_contributions` sum to what all ratings moved the prediction by, for learners whose mean is affine in the
targets (Bayesian regressions and Gaussian processes; gradient steps on a linear head), which `check_additive` tells.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax.errors import ConfigError
from metajax.types import Examples, Learner, PyTree


@runtime_checkable
class Effects(Protocol):
    """`(meta_params, rated, user, explained) -> effects [explained, rows]`, 0 of padding rows.

    `rated` holds the representations of the rated items, `explained` those of the items that are explained, leaves
    `[explained, ...]`.
    """

    def __call__(self, meta_params: PyTree, rated: Examples, user: PyTree, explained: PyTree) -> jax.Array: ...


class Contributions(NamedTuple):
    """What moved predictions from the prior's, row by row: the sum of both parts over all rows is the whole of it.

    Attributes:
        rating: `[explained, rows]` of the rating's being another than was expected.
        presence: `[explained, rows]` of the item's having been rated at all, as expected; 0 for most learners.
    """

    rating: Float[Array, "*users explained rows"]
    presence: Float[Array, "*users explained rows"]


@runtime_checkable
class Contribute(Protocol):
    """`(meta_params, rated, user, explained) -> Contributions`; arguments as those of `Effects`."""

    def __call__(self, meta_params: PyTree, rated: Examples, user: PyTree, explained: PyTree) -> Contributions: ...


def leave_one_out_effects(learner: Learner) -> Effects:
    """Return what computes, of each rating, the prediction with all minus the prediction without that one.

    The user is adapted anew for every row that is left out, so it is exact for any learner. One that has `left_out`
    comes to the same by a shorter way.
    """

    def effects(meta_params: PyTree, rated: Examples, user: PyTree, explained: PyTree) -> jax.Array:
        if learner.left_out is None:
            mean = _means(learner, meta_params, user, explained)
            everything = mean(rated)
            without = jax.vmap(lambda mask: mean(rated._replace(mask=mask)))(_all_but_one(rated.mask))
        else:
            state = learner.adapt(meta_params, learner.begin(meta_params, user), rated)
            state = _small(learner, state, rated)
            everything = learner.predict(meta_params, state, explained).mean
            without = learner.left_out(meta_params, state, rated, explained)
        return ((everything[None] - without) * rated.mask[:, None]).T

    return effects


def additive_contributions(learner: Learner) -> Contribute:
    """Return what splits prediction minus prior prediction into one contribution per rating.

    Let m(S, y) be the mean after ratings y of the items S, m_0 the prior's, and e_j the prior's prediction of rated
    item j. An affine mean falls apart into sum_j [m(S, e + (y_j - e_j)) - m(S, e)], what each rating moves if all
    others were as expected, and m(S, e) - m_0: what it says that just these items were rated. That is 0 for a
    regression on residuals, and not for learners that read who rates what (the signal g of `student_t`), nor for
    ensembles, whose members expected different ratings. It is shared out by what m(S, e) loses without each row, and
    the rest of it equally (the equal allocation of nonseparable costs), so that the parts sum exactly.

    Check the learner by `check_additive` first: of others the sum is not the whole.

    References:
        Moulin, 1985, "The separability axiom and equal-sharing methods". https://doi.org/10.1016/0022-0531(85)90082-3
    """

    def contribute(meta_params: PyTree, rated: Examples, user: PyTree, explained: PyTree) -> Contributions:
        mean = _means(learner, meta_params, user, explained)
        begun = learner.begin(meta_params, user)
        prior, expected = (learner.predict(meta_params, begun, items).mean for items in (explained, rated.items))
        as_expected = rated._replace(target=expected)
        one_as_it_is = jnp.where(jnp.eye(len(expected), dtype=bool), rated.target[None], expected[None])
        rows = rated.mask[:, None]
        neutral = mean(as_expected)[None]
        moved = jax.vmap(lambda target: mean(rated._replace(target=target)))(one_as_it_is)
        without = jax.vmap(lambda mask: mean(as_expected._replace(mask=mask)))(_all_but_one(rated.mask))
        own = (neutral - without) * rows
        rest = neutral - prior[None] - jnp.sum(own, axis=0, keepdims=True)
        presence = own + rest * rows / jnp.maximum(jnp.sum(rated.mask), 1)
        return Contributions(((moved - neutral) * rows).T, presence.T)

    return contribute


def check_additive(learner: Learner, meta_params: PyTree, rated: Examples, user: PyTree, explained: PyTree) -> None:
    """Raise unless a user's predictions are affine in the targets, on these numbers.

    Args:
        learner: any.
        meta_params: of the learner.
        rated: represented; a few rows whose targets differ much from what is expected.
        user: what is known about the user.
        explained: represented items whose predictions are compared.

    Raises:
        ConfigError: if the contributions miss the change of a prediction by more than 1e-4 of the largest change (and
            what rounding explains).
    """

    def gap_and_change(target: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        rows = rated._replace(target=target)
        parts = additive_contributions(learner)(meta_params, rows, user, explained)
        before = learner.predict(meta_params, learner.begin(meta_params, user), explained).mean
        after = _means(learner, meta_params, user, explained)(rows)
        gap = after - before - jnp.sum(parts.rating + parts.presence, axis=1)
        return jnp.max(jnp.abs(gap)), jnp.max(jnp.abs(after - before)), jnp.max(jnp.abs(after))

    gap, change, size = (float(one) for one in jax.jit(gap_and_change)(rated.target))
    rounding = 16 * float(jnp.finfo(rated.target.dtype).eps) * len(rated.target) * size
    if not gap <= 1e-4 * change + rounding:
        raise ConfigError(
            f"The predictions of this learner are not affine in the ratings: contributions miss a change of "
            f'{change:.2g} by {gap:.2g}. Explain by method="leave_one_out", which takes any learner.'
        )


def _means(learner: Learner, meta_params: PyTree, user: PyTree, explained: PyTree) -> Callable[[Examples], jax.Array]:
    def mean(rated: Examples) -> jax.Array:
        state = learner.adapt(meta_params, learner.begin(meta_params, user), rated)
        return learner.predict(meta_params, _small(learner, state, rated), explained).mean

    return mean


def _small(learner: Learner, state: PyTree, rated: Examples) -> PyTree:
    """Return a state with room for the rated rows only, which predicts the same."""
    return state if learner.compact is None else learner.compact(state, rated.mask.shape[0])


def _all_but_one(mask: jax.Array) -> jax.Array:
    """Return `[rows, rows]` masks: row j is without row j."""
    return mask[None] * (1 - jnp.eye(len(mask), dtype=mask.dtype))
