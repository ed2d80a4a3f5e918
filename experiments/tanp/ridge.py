"""A closed-form learner on MovieLens-1M as TaNP split it: users with 30 to 200 ratings, 20 of them the support.

Run:      metajax train experiments/tanp/ridge.py && metajax evaluate runs/tanp/ridge
Override: metajax train experiments/tanp/ridge.py --model.factors 32 --name other
Takes:    some minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/tanp/ridge.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  Bertinetto et al., 2019, https://arxiv.org/abs/1805.08136
"""

from metajax.experiment import (
    DataConfig,
    EpisodeConfig,
    EvaluationConfig,
    Experiment,
    Ridge,
    TanpSplit,
    TrainingConfig,
)
from metajax.experiment.search import Choice, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="tanp/ridge",
        data=DataConfig(source="ml-1m"),
        split=TanpSplit(),
        learner=Ridge(),
        episodes=EpisodeConfig(min_rows=21),
        training=TrainingConfig(outer_steps=6000, validate_every=200, patience=6),
        evaluation=EvaluationConfig(cutoffs=(5, 7, 10), validation_shots=()),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.penalty": LogUniform(0.5, 30.0),
        "model.factors": Choice((8, 16, 32, 64)),
    }
