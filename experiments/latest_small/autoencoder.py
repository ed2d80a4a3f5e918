"""What is taken up next, of MovieLens latest-small, with the choices made on training users of MovieLens-1M.

Run:      metajax train experiments/latest_small/autoencoder.py && metajax evaluate runs/latest_small/autoencoder
Override: metajax train experiments/latest_small/autoencoder.py --learner.dropout 0.3 --name other
Takes:    minutes on 2 CPU cores, evaluation included.
Reaches:  results/latest_small/autoencoder.json: level with EASE and iALS at 5 ratings, behind both at all.
Follows:  Liang et al., 2018, https://arxiv.org/abs/1802.05814
"""

from dataclasses import replace

from metajax.experiment import Experiment, ranking, ranking_space
from metajax.experiment.search import Range


def experiment() -> Experiment:
    base = ranking()
    return replace(
        base,
        name="latest_small/autoencoder",
        data=replace(base.data, source="ml-latest-small"),
        learner=replace(base.learner, middle=3.6),
        seeds=(0, 1, 2, 3, 4),
    )


def search_space() -> dict[str, Range]:
    return ranking_space()
