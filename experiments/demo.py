"""The demo: a closed-form learner on MovieLens latest-small, which ships with metajax.

Run:      metajax train experiments/demo.py  (`metajax demo` trains, evaluates and recommends in one go)
Override: metajax train experiments/demo.py --training.outer-steps 500 --name shorter
Takes:    under a minute of training on 2 CPU cores.
Reaches:  what `metajax evaluate runs/demo` prints; the last kept report is experiments/results/demo.json.
Follows:  Bertinetto et al., 2019, https://arxiv.org/abs/1805.08136
"""

from metajax.experiment import Experiment


def experiment() -> Experiment:
    return Experiment(name="demo")
