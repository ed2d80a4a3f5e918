"""ALFA on MovieLens-1M, on the decision layers.

Run:      metajax train experiments/movielens_1m/alfa.py && metajax evaluate runs/movielens_1m/alfa
Override: metajax train experiments/movielens_1m/alfa.py --optimizer.learning-rate 3e-3 --name other
Takes:    some minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_1m/alfa.json, of two seeds, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  Baik et al., 2020, https://arxiv.org/abs/2011.00209
"""

from metajax.experiment import Alfa, DataConfig, EpisodeConfig, Experiment, MeluSplit, TrainingConfig, TwoTower
from metajax.experiment.search import Integer, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="movielens_1m/alfa",
        data=DataConfig(source="ml-1m", identity=()),
        split=MeluSplit(),
        model=TwoTower(),
        learner=Alfa(inner_steps=2, inner_step_size=5e-3),
        episodes=EpisodeConfig(min_rows=13),
        training=TrainingConfig(outer_steps=4000, tasks_per_step=32, validate_every=200, patience=5),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.inner_step_size": LogUniform(1e-3, 1e-1),
        "learner.inner_steps": Integer(1, 3),
    }
