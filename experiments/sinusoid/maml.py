"""MAML on sinusoids: everything adapts, in one step of .01.

Run:      python experiments/sinusoid/suite.py maml
Reaches:  experiments/sinusoid/results.json, kept by that command.
Follows:  Finn et al., 2017, https://arxiv.org/abs/1703.03400 (the table of Park and Oliva, 2019, has .435)
"""

from collections.abc import Callable

from metajax.learners import maml
from metajax.losses import squared_error
from metajax.types import Learner, Model

OUTER_STEPS = 70_000
BAND = (0.25, 0.55)


def learner(network: Callable[..., Model]) -> Learner:
    return maml(network(), squared_error(), inner_steps=1, inner_step_size=0.01)
