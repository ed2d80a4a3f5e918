"""The control of item warm-up: the recommender trained on old films, new ones known by their content alone.

Run:      metajax train experiments/warm_up/joint.py && metajax evaluate runs/warm_up/joint
Override: metajax train experiments/warm_up/joint.py --learner.inner-steps 3 --name warm_up/joint_fine_tuned
Takes:    some minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  no report is kept.
Follows:  no paper: joint training without meta-learning
"""

from metajax.experiment import (
    DataConfig,
    EpisodeConfig,
    EvaluationConfig,
    Experiment,
    Joint,
    MatrixFactorization,
    TrainingConfig,
    WarmUp,
)
from metajax.experiment.search import Choice, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="warm_up/joint",
        data=DataConfig(source="ml-1m", identity=("user", "item")),
        split=WarmUp(),
        model=MatrixFactorization(),
        learner=Joint(),
        episodes=EpisodeConfig(query_rows=20, max_support=60, buckets=()),
        training=TrainingConfig(outer_steps=6000, tasks_per_step=32, validate_every=200, patience=6),
        evaluation=EvaluationConfig(shots=(0, 20, 40), validation_shots=(0, 20), catalogue_cutoffs=()),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.inner_step_size": LogUniform(1e-2, 1.0),
        "model.factors": Choice((8, 16, 32, 64)),
    }
