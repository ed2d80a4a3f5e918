"""The flagship on MovieLens-100K, with the choices of MovieLens-1M's training users, all but the noise prior.

Run:      metajax train experiments/movielens_100k/flagship.py --learner.members 1
          metajax evaluate runs/movielens_100k/flagship
Override: metajax train experiments/movielens_100k/flagship.py --episodes.no-by-rows --name other
Takes:    about ten minutes on 2 CPU cores, evaluation included.
Reaches:  results/movielens_100k/flagship.json, of three members (no --learner.members 1).
Follows:  docs/flagship.md
"""

from dataclasses import replace

from metajax.experiment import Experiment, flagship, flagship_space
from metajax.experiment.search import Range


def experiment() -> Experiment:
    base = flagship()
    return replace(
        base,
        name="movielens_100k/flagship",
        data=replace(base.data, source="ml-100k", features=("age", "gender", "occupation", "genres", "decade")),
        learner=replace(base.learner, members=3),
        seeds=(0, 1, 2, 3, 4),
    )


def search_space() -> dict[str, Range]:
    return flagship_space()
