"""The flagship on MovieLens latest-small, with the choices made on the training users of MovieLens-1M.

Run:      metajax train experiments/latest_small/flagship.py && metajax evaluate runs/latest_small/flagship
Override: metajax train experiments/latest_small/flagship.py --learner.members 1 --name single
Takes:    about ten minutes on 2 CPU cores, evaluation included.
Reaches:  results/latest_small/flagship.json, kept by the commands above.
Follows:  docs/flagship.md
"""

from metajax.experiment import (
    Adam,
    DataConfig,
    EpisodeConfig,
    Experiment,
    MatrixFactorization,
    StudentT,
    TrainingConfig,
    UserCold,
)
from metajax.experiment.search import Choice, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="latest_small/flagship",
        data=DataConfig(source="ml-latest-small", estimate_content=True),
        split=UserCold(),
        model=MatrixFactorization(factors=24, factor_scale=0.1),
        learner=StudentT(members=3),
        optimizer=Adam(learning_rate=5e-3),
        episodes=EpisodeConfig(min_support=90),
        training=TrainingConfig(outer_steps=1500, tasks_per_step=32, validate_every=500, patience=0),
        seeds=(0, 1, 2, 3, 4),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(1e-3, 1e-2),
        "learner.rated_deviation": LogUniform(0.03, 0.3),
        "model.factors": Choice((8, 16, 24, 32)),
    }
