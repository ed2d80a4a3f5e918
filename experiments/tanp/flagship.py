"""The flagship on the protocol of TaNP, with the choices made on the training users of MovieLens-1M.

Run:      metajax train experiments/tanp/flagship.py && metajax evaluate runs/tanp/flagship
Override: metajax train experiments/tanp/flagship.py --learner.members 1 --name single
Takes:    about half an hour on 2 CPU cores, evaluation included.
Reaches:  results/tanp/flagship.json, kept by the commands above.
Follows:  docs/flagship.md
"""

from metajax.experiment import (
    Adam,
    DataConfig,
    EpisodeConfig,
    EvaluationConfig,
    Experiment,
    MatrixFactorization,
    StudentT,
    TanpSplit,
    TrainingConfig,
)
from metajax.experiment.search import Choice, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="tanp/flagship",
        data=DataConfig(
            source="ml-1m", features=("gender", "age", "occupation", "genres", "decade", "mpaa"), estimate_content=True
        ),
        split=TanpSplit(),
        model=MatrixFactorization(factors=24, factor_scale=0.1),
        learner=StudentT(members=3),
        optimizer=Adam(learning_rate=5e-3),
        episodes=EpisodeConfig(min_support=90, min_rows=21),
        training=TrainingConfig(outer_steps=1500, tasks_per_step=32, validate_every=500, patience=0),
        evaluation=EvaluationConfig(cutoffs=(5, 7, 10), validation_shots=()),
        seeds=(0, 1, 2, 3, 4),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(1e-3, 1e-2),
        "learner.rated_deviation": LogUniform(0.03, 0.3),
        "model.factors": Choice((8, 16, 24, 32)),
    }
