"""The flagship: Student-t regressions per user on learned item factors and on what content says of new items.

Run:      metajax train experiments/movielens_1m/flagship.py && metajax evaluate runs/movielens_1m/flagship
Override: metajax train experiments/movielens_1m/flagship.py --learner.members 1 --name single
Takes:    about ten minutes for five seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_1m/flagship.json, kept by the commands above.
Follows:  docs/flagship.md
"""

from metajax.experiment import (
    Adam,
    DataConfig,
    EpisodeConfig,
    Experiment,
    MatrixFactorization,
    MeluSplit,
    StudentT,
    TrainingConfig,
)
from metajax.experiment.search import Choice, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="movielens_1m/flagship",
        data=DataConfig(
            source="ml-1m",
            features=("gender", "age", "occupation", "genres", "decade", "mpaa"),
            estimate_content=True,
        ),
        split=MeluSplit(),
        model=MatrixFactorization(factors=24, factor_scale=0.1),
        learner=StudentT(members=3),
        optimizer=Adam(learning_rate=5e-3),
        episodes=EpisodeConfig(min_rows=13, min_support=90),
        training=TrainingConfig(outer_steps=1500, tasks_per_step=32, validate_every=500, patience=0),
        seeds=(0, 1, 2, 3, 4),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(1e-3, 1e-2),
        "learner.rated_deviation": LogUniform(0.03, 0.3),
        "model.factors": Choice((8, 16, 24, 32)),
    }
