"""What is taken up next, of MovieLens-100K: a regression of uptake on the leading factors of who took what.

Run:      metajax tune experiments/movielens_100k/uptake.py --trials 6 --whole-trials 6 --seconds 60
          metajax train experiments/movielens_100k/uptake.py --tuned runs/movielens_100k/uptake/tune/best.json
          metajax evaluate runs/movielens_100k/uptake
Override: metajax train experiments/movielens_100k/uptake.py --learner.deviation 0.5 --name other
Takes:    minutes on 2 CPU cores, evaluation included.
Reaches:  results/movielens_100k/uptake.json: ahead of every baseline at 5, 10 and all: nDCG@10 .249, .278, .310.
Follows:  Liang et al., 2018, https://arxiv.org/abs/1802.05814, for the loss
"""

from dataclasses import replace

from metajax.experiment import Experiment, ranking, ranking_space
from metajax.experiment.search import Range


def experiment() -> Experiment:
    base = ranking()
    return replace(
        base,
        name="movielens_100k/uptake",
        data=replace(base.data, source="ml-100k", features=("age", "gender", "occupation")),
        learner=replace(base.learner, middle=3.6, relevant=4.0),
        seeds=(0, 1, 2, 3, 4),
    )


def search_space() -> dict[str, Range]:
    return ranking_space()
