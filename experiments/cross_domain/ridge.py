"""Books tell which music a user likes: a closed-form learner across two domains of Douban.

Run:      metajax train experiments/cross_domain/ridge.py && metajax evaluate runs/cross_domain/ridge
Override: metajax train experiments/cross_domain/ridge.py --split.source music --split.target book --name other
Takes:    seconds to train a seed on 2 CPU cores; minutes to measure all baselines once (--evaluation.no-tuned: fewer).
Reaches:  no report is kept.
Follows:  Bertinetto et al., 2019, https://arxiv.org/abs/1805.08136, on tasks that cross domains
"""

from metajax.experiment import CrossDomain, DataConfig, EpisodeConfig, Experiment, Ridge, TrainingConfig
from metajax.experiment.search import Choice, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="cross_domain/ridge",
        data=DataConfig(source="douban-book-music"),
        split=CrossDomain(source="book", target="music"),
        learner=Ridge(),
        episodes=EpisodeConfig(order="domain"),
        training=TrainingConfig(outer_steps=6000, validate_every=200, patience=6),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.penalty": LogUniform(0.5, 30.0),
        "model.factors": Choice((8, 16, 32, 64)),
    }
