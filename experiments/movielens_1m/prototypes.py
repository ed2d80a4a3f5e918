"""Prototypes (protonet) on MovieLens-1M, trained to rank: four stars and more are liked.

Run:      metajax train experiments/movielens_1m/prototypes.py && metajax evaluate runs/movielens_1m/prototypes
Override: metajax train experiments/movielens_1m/prototypes.py --learner.relevant 5 --name other
Takes:    a few minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_1m/prototypes.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  Snell et al., 2017, https://arxiv.org/abs/1703.05175
"""

from metajax.experiment import (
    DataConfig,
    EpisodeConfig,
    Experiment,
    MeluSplit,
    PairwiseRanking,
    Prototypes,
    TrainingConfig,
)
from metajax.experiment.search import Choice, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="movielens_1m/prototypes",
        data=DataConfig(source="ml-1m"),
        split=MeluSplit(),
        loss=PairwiseRanking(),
        learner=Prototypes(relevant=4.0),
        episodes=EpisodeConfig(min_rows=13),
        training=TrainingConfig(outer_steps=6000, validate_every=200, patience=6),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.strength": LogUniform(0.5, 20.0),
        "model.factors": Choice((8, 16, 32, 64)),
    }
