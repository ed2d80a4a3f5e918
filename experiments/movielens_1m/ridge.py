"""A closed-form learner on MovieLens-1M, cold users, cold items and both, as MeLU split them.

Run:      metajax train experiments/movielens_1m/ridge.py && metajax evaluate runs/movielens_1m/ridge
Override: metajax train experiments/movielens_1m/ridge.py --model.factors 32 --name other
Takes:    a few minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_1m/ridge.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  Bertinetto et al., 2019, https://arxiv.org/abs/1805.08136
"""

from metajax.experiment import DataConfig, EpisodeConfig, Experiment, MeluSplit, Ridge, TrainingConfig
from metajax.experiment.search import Choice, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="movielens_1m/ridge",
        data=DataConfig(source="ml-1m"),
        split=MeluSplit(),
        learner=Ridge(),
        episodes=EpisodeConfig(min_rows=13),
        training=TrainingConfig(outer_steps=6000, validate_every=200, patience=6),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.penalty": LogUniform(0.5, 30.0),
        "model.factors": Choice((8, 16, 32, 64)),
    }
