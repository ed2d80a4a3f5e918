"""CAVIA on sinusoids: five context values adapt, in one step of 1.0.

Run:      python experiments/sinusoid/suite.py cavia
Reaches:  experiments/sinusoid/results.json, kept by that command.
Follows:  Zintgraf et al., 2019, https://arxiv.org/abs/1810.03642 (.19 there)
"""

from collections.abc import Callable

from metajax.learners import cavia
from metajax.losses import squared_error
from metajax.types import Learner, Model

OUTER_STEPS = 50_000
BAND = (0.05, 0.25)


def learner(network: Callable[..., Model]) -> Learner:
    return cavia(network(context=5), squared_error(), inner_steps=1, inner_step_size=1.0, context="item/context")
