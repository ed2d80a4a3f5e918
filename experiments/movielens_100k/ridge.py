"""A closed-form learner on MovieLens-100K, cold users.

Run:      metajax train experiments/movielens_100k/ridge.py && metajax evaluate runs/movielens_100k/ridge
Override: metajax train experiments/movielens_100k/ridge.py --learner.penalty 2 --name other
Takes:    about two minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_100k/ridge.json, kept by the commands above.
Follows:  Bertinetto et al., 2019, https://arxiv.org/abs/1805.08136
"""

from metajax.experiment import DataConfig, Experiment, TrainingConfig, UserCold
from metajax.experiment.search import Choice, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="movielens_100k/ridge",
        data=DataConfig(source="ml-100k"),
        split=UserCold(),
        training=TrainingConfig(outer_steps=2000, validate_every=100, patience=6),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.penalty": LogUniform(0.5, 30.0),
        "model.factors": Choice((8, 16, 32, 64)),
    }
