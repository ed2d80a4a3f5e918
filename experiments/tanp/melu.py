"""MeLU on MovieLens-1M as TaNP split it: users with 30 to 200 ratings, 20 of them the support.

Run:      metajax train experiments/tanp/melu.py && metajax evaluate runs/tanp/melu
Override: metajax train experiments/tanp/melu.py --learner.inner-steps 5 --name other
Takes:    some minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/tanp/melu.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  Lee et al., 2019, https://arxiv.org/abs/1908.00413
"""

from metajax.experiment import (
    DataConfig,
    EpisodeConfig,
    EvaluationConfig,
    Experiment,
    Melu,
    TanpSplit,
    TrainingConfig,
    TwoTower,
)
from metajax.experiment.search import LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="tanp/melu",
        data=DataConfig(source="ml-1m", identity=()),
        split=TanpSplit(),
        model=TwoTower(),
        learner=Melu(inner_steps=1, inner_step_size=5e-3),
        episodes=EpisodeConfig(min_rows=21),
        training=TrainingConfig(outer_steps=4000, tasks_per_step=32, validate_every=200, patience=5),
        evaluation=EvaluationConfig(cutoffs=(5, 7, 10), validation_shots=()),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.inner_step_size": LogUniform(1e-3, 1e-1),
    }
