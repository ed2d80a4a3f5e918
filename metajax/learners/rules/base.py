"""What an inner-loop update rule is.

What optax cannot do and a `Rule` must is be differentiated with respect to its hyper-parameters: they are leaves
of `meta_params`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metajax.errors import ConfigError
from metajax.types import Key, PyTree


def no_pull(hyper: PyTree, rule_state: PyTree, fast_params: PyTree) -> jax.Array:
    """Add nothing to the inner objective."""
    del hyper, rule_state
    dtype = jnp.result_type(*jax.tree.leaves(fast_params)) if jax.tree.leaves(fast_params) else float
    return jnp.zeros((), dtype)


class Rule(NamedTuple):
    """An inner-loop update rule: gradients in, updates out.

    Attributes:
        init: (key, fast_params) -> hyper: the learned hyper-parameters, a part of `meta_params` (an empty dict if
            none). The key is consumed.
        begin: (hyper, fast_params) -> rule_state: moments, step counter, starting point; kept in the user's state.
        update: (hyper, rule_state, updates, fast_params) -> (updates, rule_state). The first rule of a chain gets the
            gradients; what the last one returns is added to the parameters.
        pull: (hyper, rule_state, fast_params) -> scalar that the rule adds to the inner objective; its gradient is
            what `update` adds to the gradients. Nothing for most rules.
        is_proximal: whether it pulls towards where the user began, as an implicit gradient needs.
        num_steps: the inner steps that the rule's hyper-parameters are tied to, or None. A state of such a rule cannot
            be adapted further.
        step_size: hyper -> alpha, of a rule that is nothing but phi <- phi - alpha g; None for all others.
    """

    init: Callable[[Key, PyTree], PyTree]
    begin: Callable[[PyTree, PyTree], PyTree]
    update: Callable[[PyTree, PyTree, PyTree, PyTree], tuple[PyTree, PyTree]]
    pull: Callable[[PyTree, PyTree, PyTree], jax.Array] = no_pull
    is_proximal: bool = False
    num_steps: int | None = None
    step_size: Callable[[PyTree], jax.Array | float] | None = None


def chain(*rules: Rule) -> Rule:
    """Apply rules one after the other: each gets the updates of the one before it.

    Raises:
        ConfigError: if there is no rule, or two are tied to different numbers of steps.
    """
    if not rules:
        raise ConfigError("A chain needs one rule or more. Give such as chain(proximal(2.0), sgd(0.01)).")
    tied = {rule.num_steps for rule in rules if rule.num_steps is not None}
    if len(tied) > 1:
        raise ConfigError(f"The chained rules are tied to different numbers of inner steps, got {sorted(tied)}.")

    def init(key: Key, fast_params: PyTree) -> PyTree:
        keys = jax.random.split(key, len(rules))
        return {str(i): rule.init(keys[i], fast_params) for i, rule in enumerate(rules)}

    def begin(hyper: PyTree, fast_params: PyTree) -> PyTree:
        return tuple(rule.begin(hyper[str(i)], fast_params) for i, rule in enumerate(rules))

    def update(hyper: PyTree, rule_state: PyTree, updates: PyTree, fast_params: PyTree) -> tuple[PyTree, PyTree]:
        states = []
        for i, rule in enumerate(rules):
            updates, state = rule.update(hyper[str(i)], rule_state[i], updates, fast_params)
            states.append(state)
        return updates, tuple(states)

    def pull(hyper: PyTree, rule_state: PyTree, fast_params: PyTree) -> jax.Array:
        pulls = [rule.pull(hyper[str(i)], rule_state[i], fast_params) for i, rule in enumerate(rules)]
        return sum(pulls[1:], pulls[0])

    return Rule(init, begin, update, pull, any(rule.is_proximal for rule in rules), next(iter(tied), None))
