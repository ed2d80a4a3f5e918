"""What is taken up next, of MovieLens-1M: a regression of uptake on the leading factors of who took what.

Run:      metajax train experiments/movielens_1m/uptake.py && metajax evaluate runs/movielens_1m/uptake
Override: metajax train experiments/movielens_1m/uptake.py --learner.deviation 0.5 --name other
Takes:    a minute a seed on 2 CPU cores, and minutes of evaluation.
Reaches:  results/movielens_1m/uptake.json: nDCG@10 .233, .258, .284 at 5, 10, all: ahead of every baseline, at all
          ratings in value only (p .23).
Follows:  Liang et al., 2018, https://arxiv.org/abs/1802.05814, for the loss
"""

from dataclasses import replace

from metajax.experiment import Experiment, MeluSplit, ranking, ranking_space
from metajax.experiment.search import Range


def experiment() -> Experiment:
    base = ranking()
    return replace(
        base,
        name="movielens_1m/uptake",
        data=replace(base.data, source="ml-1m", features=("gender", "age", "occupation")),
        split=MeluSplit(),
        learner=replace(base.learner, middle=3.6, relevant=4.0),
        episodes=replace(base.episodes, min_rows=13),
        seeds=(0, 1, 2, 3, 4),
    )


def search_space() -> dict[str, Range]:
    return ranking_space()
