"""TaNP on MovieLens-1M as its authors split it: users with 30 to 200 ratings, 20 of them the support.

Run:      metajax train experiments/tanp/tanp.py && metajax evaluate runs/tanp/tanp
Override: metajax train experiments/tanp/tanp.py --learner.num-clusters 20 --name other
Takes:    some minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/tanp/tanp.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  Lin et al., 2021, https://arxiv.org/abs/2103.06137
"""

from metajax.experiment import (
    DataConfig,
    EpisodeConfig,
    EvaluationConfig,
    Experiment,
    TaNP,
    TanpSplit,
    TrainingConfig,
)
from metajax.experiment.search import Choice, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="tanp/tanp",
        data=DataConfig(source="ml-1m"),
        split=TanpSplit(),
        learner=TaNP(),
        episodes=EpisodeConfig(min_rows=21),
        training=TrainingConfig(outer_steps=6000, validate_every=200, patience=6),
        evaluation=EvaluationConfig(cutoffs=(5, 7, 10), validation_shots=()),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "model.factors": Choice((8, 16, 32, 64)),
        "learner.width": Choice((32, 64, 128)),
    }
