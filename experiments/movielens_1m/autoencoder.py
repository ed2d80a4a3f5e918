"""What is taken up next: a linear denoising autoencoder of who rated what, on MovieLens-1M.

Run:      metajax train experiments/movielens_1m/autoencoder.py && metajax evaluate runs/movielens_1m/autoencoder
Override: metajax train experiments/movielens_1m/autoencoder.py --learner.dropout 0.3 --name other
Takes:    about ten minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_1m/autoencoder.json: three seeds of 3,000 steps, before factors had priors.
Follows:  Liang et al., 2018, https://arxiv.org/abs/1802.05814
"""

from dataclasses import replace

from metajax.experiment import Experiment, MeluSplit, ranking, ranking_space
from metajax.experiment.search import Range


def experiment() -> Experiment:
    base = ranking()
    return replace(
        base,
        name="movielens_1m/autoencoder",
        data=replace(base.data, source="ml-1m", features=("gender", "age", "occupation")),
        split=MeluSplit(),
        learner=replace(base.learner, middle=3.6),
        episodes=replace(base.episodes, min_rows=13),
        seeds=(0, 1, 2, 3, 4),
    )


def search_space() -> dict[str, Range]:
    return ranking_space()
