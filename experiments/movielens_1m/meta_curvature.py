"""Meta-Curvature on MovieLens-1M, on the decision layers.

Run:      metajax train experiments/movielens_1m/meta_curvature.py && metajax evaluate runs/movielens_1m/meta_curvature
Override: metajax train experiments/movielens_1m/meta_curvature.py --optimizer.learning-rate 3e-3 --name other
Takes:    some minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_1m/meta_curvature.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  Park and Oliva, 2019, https://arxiv.org/abs/1902.03356
"""

from metajax.experiment import DataConfig, EpisodeConfig, Experiment, MeluSplit, MetaCurvature, TrainingConfig, TwoTower
from metajax.experiment.search import LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="movielens_1m/meta_curvature",
        data=DataConfig(source="ml-1m", identity=()),
        split=MeluSplit(),
        model=TwoTower(),
        learner=MetaCurvature(inner_step_size=5e-3),
        episodes=EpisodeConfig(min_rows=13),
        training=TrainingConfig(outer_steps=4000, tasks_per_step=32, validate_every=200, patience=5),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.inner_step_size": LogUniform(1e-3, 1e-1),
    }
