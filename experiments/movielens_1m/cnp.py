"""A conditional neural process on MovieLens-1M, cold users, cold items and both, as MeLU split them.

Run:      metajax train experiments/movielens_1m/cnp.py && metajax evaluate runs/movielens_1m/cnp
Override: metajax train experiments/movielens_1m/cnp.py --learner.width 32 --name other
Takes:    some minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_1m/cnp.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  Garnelo et al., 2018, https://arxiv.org/abs/1807.01613
"""

from metajax.experiment import (
    ConditionalNeuralProcess,
    DataConfig,
    EpisodeConfig,
    Experiment,
    MeluSplit,
    TrainingConfig,
)
from metajax.experiment.search import Choice, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="movielens_1m/cnp",
        data=DataConfig(source="ml-1m"),
        split=MeluSplit(),
        learner=ConditionalNeuralProcess(),
        episodes=EpisodeConfig(min_rows=13),
        training=TrainingConfig(outer_steps=6000, validate_every=200, patience=6),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "model.factors": Choice((8, 16, 32, 64)),
        "learner.width": Choice((32, 64, 128)),
    }
