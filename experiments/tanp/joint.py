"""The honest control on MovieLens-1M as TaNP split it: users with 30 to 200 ratings, 20 of them the support.

Run:      metajax train experiments/tanp/joint.py && metajax evaluate runs/tanp/joint
Override: metajax train experiments/tanp/joint.py --learner.inner-steps 5 --name tanp/joint_fine_tuned
Takes:    some minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/tanp/joint.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  no paper: joint training without meta-learning, fine-tuned at test time with --learner.inner-steps
"""

from metajax.experiment import (
    DataConfig,
    EpisodeConfig,
    EvaluationConfig,
    Experiment,
    Joint,
    TanpSplit,
    TrainingConfig,
    TwoTower,
)
from metajax.experiment.search import LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="tanp/joint",
        data=DataConfig(source="ml-1m", identity=()),
        split=TanpSplit(),
        model=TwoTower(),
        learner=Joint(),
        episodes=EpisodeConfig(min_rows=21),
        training=TrainingConfig(outer_steps=4000, tasks_per_step=32, validate_every=200, patience=5),
        evaluation=EvaluationConfig(cutoffs=(5, 7, 10), validation_shots=()),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "optimizer.weight_decay": LogUniform(1e-5, 1e-1),
    }
