"""The flagship: Student-t regressions per user on learned item factors and on what content says of new items.

Run:      metajax train experiments/movielens_1m/flagship.py && metajax evaluate runs/movielens_1m/flagship
Override: metajax train experiments/movielens_1m/flagship.py --learner.members 1 --name single
Takes:    half an hour for five seeds on 2 CPU cores, and twenty minutes to evaluate, of which baselines are most.
Reaches:  results/movielens_1m/flagship.json: MAE .688 of cold users, .858 of cold items, .857 of both.
Follows:  docs/flagship.md
"""

from dataclasses import replace

from metajax.experiment import Experiment, MeluSplit, flagship, flagship_space
from metajax.experiment.search import Range


def experiment() -> Experiment:
    base = flagship()
    return replace(
        base,
        name="movielens_1m/flagship",
        data=replace(base.data, source="ml-1m", features=("gender", "age", "occupation", "genres", "decade", "mpaa")),
        split=MeluSplit(),
        learner=replace(base.learner, members=3),
        episodes=replace(base.episodes, min_rows=13, by_rows=False),
        seeds=(0, 1, 2, 3, 4),
    )


def search_space() -> dict[str, Range]:
    return flagship_space()
