"""A deep-kernel Gaussian process on MovieLens-1M as TaNP split it: users with 30 to 200 ratings, 20 the support.

Run:      metajax train experiments/tanp/gaussian_process.py
          metajax evaluate runs/tanp/gaussian_process
Override: metajax train experiments/tanp/gaussian_process.py --model.factors 32 --name other
Takes:    a few minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/tanp/gaussian_process.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  Patacchiola et al., 2020, https://arxiv.org/abs/1910.05199
"""

from metajax.experiment import (
    DataConfig,
    EpisodeConfig,
    EvaluationConfig,
    Experiment,
    GaussianProcess,
    TanpSplit,
    TrainingConfig,
)
from metajax.experiment.search import Choice, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="tanp/gaussian_process",
        data=DataConfig(source="ml-1m"),
        split=TanpSplit(),
        learner=GaussianProcess(),
        episodes=EpisodeConfig(min_rows=21),
        training=TrainingConfig(outer_steps=6000, validate_every=200, patience=6),
        evaluation=EvaluationConfig(cutoffs=(5, 7, 10), validation_shots=()),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.length": LogUniform(0.2, 5.0),
        "model.factors": Choice((8, 16, 32, 64)),
    }
