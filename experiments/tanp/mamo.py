"""MAMO on MovieLens-1M as TaNP split it: users with 30 to 200 ratings, 20 of them the support.

Run:      metajax train experiments/tanp/mamo.py && metajax evaluate runs/tanp/mamo
Override: metajax train experiments/tanp/mamo.py --learner.no-attended-erase --name as_the_paper_writes
Takes:    some minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/tanp/mamo.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  Dong et al., 2020, https://arxiv.org/abs/2007.03183, but for `attended_erase`: as the paper writes, the task
          memory is gone after some hundred steps, and with it all that the first layer knows.
"""

from metajax.experiment import (
    DataConfig,
    EpisodeConfig,
    EvaluationConfig,
    Experiment,
    Mamo,
    TanpSplit,
    TrainingConfig,
    TwoTower,
)
from metajax.experiment.search import Integer, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="tanp/mamo",
        data=DataConfig(source="ml-1m", identity=()),
        split=TanpSplit(),
        model=TwoTower(),
        learner=Mamo(inner_steps=1, inner_step_size=5e-3, attended_erase=True),
        episodes=EpisodeConfig(min_rows=21),
        training=TrainingConfig(outer_steps=4000, tasks_per_step=32, validate_every=200, patience=5),
        evaluation=EvaluationConfig(cutoffs=(5, 7, 10), validation_shots=()),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.inner_step_size": LogUniform(1e-3, 1e-1),
        "learner.num_slots": Integer(2, 8),
    }
