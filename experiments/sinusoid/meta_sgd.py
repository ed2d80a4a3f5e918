"""Meta-SGD on sinusoids: a learned step size for every weight.

Run:      python experiments/sinusoid/suite.py meta_sgd
Reaches:  experiments/sinusoid/results.json, kept by that command.
Follows:  Li et al., 2017, https://arxiv.org/abs/1707.09835 (the table of Park and Oliva, 2019, has .258)
"""

from collections.abc import Callable

from metajax.learners import meta_sgd
from metajax.losses import squared_error
from metajax.types import Learner, Model

OUTER_STEPS = 60_000
BAND = (0.05, 0.35)


def learner(network: Callable[..., Model]) -> Learner:
    return meta_sgd(network(), squared_error())
