"""ANIL on MovieLens-1M: the decision layers adapt, with a learned step size.

Run:      metajax train experiments/movielens_1m/anil.py && metajax evaluate runs/movielens_1m/anil
Override: metajax train experiments/movielens_1m/anil.py --optimizer.learning-rate 3e-3 --name other
Takes:    some minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_1m/anil.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  Raghu et al., 2020, https://arxiv.org/abs/1909.09157
"""

from metajax.experiment import Anil, DataConfig, EpisodeConfig, Experiment, MeluSplit, TrainingConfig, TwoTower
from metajax.experiment.search import LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="movielens_1m/anil",
        data=DataConfig(source="ml-1m", identity=()),
        split=MeluSplit(),
        model=TwoTower(),
        learner=Anil(inner_step_size=5e-3, learn_step_size=True),
        episodes=EpisodeConfig(min_rows=13),
        training=TrainingConfig(outer_steps=4000, tasks_per_step=32, validate_every=200, patience=5),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.inner_step_size": LogUniform(1e-3, 1e-1),
    }
