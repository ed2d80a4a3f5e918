"""MeLU's network and learner on MovieLens-100K, cold users.

Run:      metajax train experiments/movielens_100k/melu.py && metajax evaluate runs/movielens_100k/melu
Override: metajax train experiments/movielens_100k/melu.py --learner.inner-steps 5 --name other
Takes:    about two minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  no report is kept.
Follows:  Lee et al., 2019, https://arxiv.org/abs/1908.00413
"""

from metajax.experiment import DataConfig, Experiment, Melu, TrainingConfig, TwoTower, UserCold
from metajax.experiment.search import LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="movielens_100k/melu",
        data=DataConfig(source="ml-100k"),
        split=UserCold(),
        model=TwoTower(embedding_dim=16),
        learner=Melu(),
        training=TrainingConfig(outer_steps=2000, tasks_per_step=32, validate_every=100, patience=6),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.inner_step_size": LogUniform(1e-3, 1e-1),
    }
