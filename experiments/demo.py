"""The demo: the flagship with one member on MovieLens latest-small, which ships with metajax.

Run:      metajax train experiments/demo.py  (`metajax demo` trains, evaluates and recommends in one go)
Override: metajax train experiments/demo.py --training.outer-steps 500 --name shorter
Takes:    two minutes of training on 2 CPU cores.
Reaches:  what `metajax evaluate runs/demo` prints; the last kept report is experiments/results/demo.json.
Follows:  docs/flagship.md
"""

from dataclasses import replace

from metajax.experiment import Experiment, flagship


def experiment() -> Experiment:
    return replace(flagship(), name="demo")
