"""What is taken up next, of MovieLens-100K, with the choices made on training users of MovieLens-1M.

Run:      metajax train experiments/movielens_100k/autoencoder.py && metajax evaluate runs/movielens_100k/autoencoder
Override: metajax train experiments/movielens_100k/autoencoder.py --learner.dropout 0.3 --name other
Takes:    minutes on 2 CPU cores, evaluation included.
Reaches:  results/movielens_100k/autoencoder.json: behind EASE, iALS and item-kNN of clicks, tuned; ahead of popularity.
Follows:  Liang et al., 2018, https://arxiv.org/abs/1802.05814
"""

from dataclasses import replace

from metajax.experiment import Experiment, ranking, ranking_space
from metajax.experiment.search import Range


def experiment() -> Experiment:
    base = ranking()
    return replace(
        base,
        name="movielens_100k/autoencoder",
        data=replace(base.data, source="ml-100k", features=("age", "gender", "occupation")),
        learner=replace(base.learner, middle=3.6),
        seeds=(0, 1, 2, 3, 4),
    )


def search_space() -> dict[str, Range]:
    return ranking_space()
