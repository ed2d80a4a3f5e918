"""First-order MAML on sinusoids.

Run:      python experiments/sinusoid/suite.py fomaml
Reaches:  experiments/sinusoid/results.json, kept by that command.
Follows:  Finn et al., 2017, section 5.2, https://arxiv.org/abs/1703.03400
"""

from collections.abc import Callable

from metajax.learners import fomaml
from metajax.losses import squared_error
from metajax.types import Learner, Model

OUTER_STEPS = 70_000
BAND = (0.25, 0.8)


def learner(network: Callable[..., Model]) -> Learner:
    return fomaml(network(), squared_error(), inner_steps=1, inner_step_size=0.01)
