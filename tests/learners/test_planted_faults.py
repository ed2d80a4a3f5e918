"""The conformance suite itself: learners broken on purpose, each rejected by the check that is meant for its fault."""

import jax
import jax.numpy as jnp
import pytest
from learners import checks
from learners.table import LEARNERS

from metajax.types import Learner


def mask_dropped(learner: Learner) -> Learner:
    """Padding is taken for ratings."""

    def adapt(meta_params, state, support):
        return learner.adapt(meta_params, state, support._replace(mask=jnp.ones_like(support.mask)))

    return learner._replace(adapt=adapt)


def second_order_dropped(learner: Learner) -> Learner:
    """First-order MAML that calls itself MAML: the value of the loss is right, its gradient is not."""
    del learner
    return LEARNERS["fomaml"]()


def meta_params_written_to(learner: Learner) -> Learner:
    """Adapting writes the user's parameters into the shared ones, where the next user finds them."""

    def adapt(meta_params, state, support):
        state = learner.adapt(meta_params, state, support)
        meta_params["model"]["head"] = state.fast["head"]
        return state

    return learner._replace(adapt=adapt)


def state_remembered(learner: Learner) -> Learner:
    """A user begins from the state that the last one ended with."""
    last = []

    def begin(meta_params, user):
        return last[-1] if last else learner.begin(meta_params, user)

    def adapt(meta_params, state, support):
        last.append(learner.adapt(meta_params, state, support))
        return last[-1]

    return learner._replace(begin=begin, adapt=adapt)


def query_targets_adapted_on(learner: Learner) -> Learner:
    """Training adapts on the very ratings that it is judged on."""

    def loss(meta_params, task, key, progress):
        return learner.loss(meta_params, task._replace(support=task.query), key, progress)

    return learner._replace(loss=loss)


def empty_support_moves(learner: Learner) -> Learner:
    """Weight decay that no rating gates."""

    def adapt(meta_params, state, support):
        state = learner.adapt(meta_params, state, support)
        return state._replace(fast=jax.tree.map(lambda leaf: 0.99 * leaf, state.fast))

    return learner._replace(adapt=adapt)


FAULTS = [
    (mask_dropped, checks.check_padding),
    (mask_dropped, checks.check_empty_support),
    (second_order_dropped, checks.check_gradient),
    (meta_params_written_to, checks.check_no_user_leaks_into_the_next),
    (state_remembered, checks.check_no_user_leaks_into_the_next),
    (query_targets_adapted_on, checks.check_adapts_on_support_alone),
    (empty_support_moves, checks.check_empty_support),
]


@pytest.mark.parametrize(("plant", "check"), FAULTS, ids=[f"{one.__name__}-{two.__name__}" for one, two in FAULTS])
def test_a_planted_fault_is_rejected(plant, check):
    with pytest.raises(AssertionError):
        check(checks.prepare(plant(LEARNERS["maml"]())))


@pytest.mark.parametrize("check", sorted({check for _, check in FAULTS}, key=lambda check: check.__name__))
def test_the_same_learner_without_the_fault_passes(check):
    check(checks.prepare(LEARNERS["maml"]()))
