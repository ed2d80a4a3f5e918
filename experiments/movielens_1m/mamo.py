"""MAMO on MovieLens-1M: content features only, memories of past users, the decision layers adapt.

Run:      metajax train experiments/movielens_1m/mamo.py && metajax evaluate runs/movielens_1m/mamo
Override: metajax train experiments/movielens_1m/mamo.py --learner.no-attended-erase --name as_the_paper_writes
Takes:    some minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_1m/mamo.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  Dong et al., 2020, https://arxiv.org/abs/2007.03183, but for `attended_erase`: as the paper writes, the task
          memory is gone after some hundred steps, and with it all that the first layer knows.
"""

from metajax.experiment import DataConfig, EpisodeConfig, Experiment, Mamo, MeluSplit, TrainingConfig, TwoTower
from metajax.experiment.search import Integer, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="movielens_1m/mamo",
        data=DataConfig(source="ml-1m", identity=()),
        split=MeluSplit(),
        model=TwoTower(),
        learner=Mamo(inner_steps=1, inner_step_size=5e-3, attended_erase=True),
        episodes=EpisodeConfig(min_rows=13),
        training=TrainingConfig(outer_steps=4000, tasks_per_step=32, validate_every=200, patience=5),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.inner_step_size": LogUniform(1e-3, 1e-1),
        "learner.num_slots": Integer(2, 8),
    }
