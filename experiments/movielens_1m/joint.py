"""The honest control on MovieLens-1M: MeLU's network trained on all users alike, and not adapted.

Run:      metajax train experiments/movielens_1m/joint.py && metajax evaluate runs/movielens_1m/joint
Override: metajax train experiments/movielens_1m/joint.py --learner.inner-steps 5 --name movielens_1m/joint_fine_tuned
Takes:    some minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_1m/joint.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  no paper: joint training without meta-learning, fine-tuned at test time with --learner.inner-steps
"""

from metajax.experiment import DataConfig, EpisodeConfig, Experiment, Joint, MeluSplit, TrainingConfig, TwoTower
from metajax.experiment.search import LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="movielens_1m/joint",
        data=DataConfig(source="ml-1m", identity=()),
        split=MeluSplit(),
        model=TwoTower(),
        learner=Joint(),
        episodes=EpisodeConfig(min_rows=13),
        training=TrainingConfig(outer_steps=4000, tasks_per_step=32, validate_every=200, patience=5),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "optimizer.weight_decay": LogUniform(1e-5, 1e-1),
    }
