"""ANIL on sinusoids: the output layer adapts.

Run:      python experiments/sinusoid/suite.py anil
Reaches:  experiments/sinusoid/results.json, kept by that command.
Follows:  Raghu et al., 2020, https://arxiv.org/abs/1909.09157
"""

from collections.abc import Callable

from metajax.learners import anil
from metajax.losses import squared_error
from metajax.types import Learner, Model

OUTER_STEPS = 70_000
BAND = (0.4, 1.2)


def learner(network: Callable[..., Model]) -> Learner:
    return anil(network(), squared_error(), inner_steps=1, inner_step_size=0.01)
