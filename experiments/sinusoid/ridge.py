"""Ridge head on sinusoids: the output layer in closed form.

Run:      python experiments/sinusoid/suite.py ridge
Reaches:  experiments/sinusoid/results.json, kept by that command.
Follows:  Bertinetto et al., 2019, https://arxiv.org/abs/1805.08136
"""

from collections.abc import Callable

from metajax.learners import ridge
from metajax.types import Learner, Model

OUTER_STEPS = 20_000
BAND = (0.0, 0.08)


def learner(network: Callable[..., Model]) -> Learner:
    return ridge(network(), item_width=40)
