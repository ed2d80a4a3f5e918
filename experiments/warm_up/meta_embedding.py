"""Meta-Embedding on MovieLens-1M: new films begin with an embedding made of their content.

Run:      metajax train experiments/warm_up/meta_embedding.py && metajax evaluate runs/warm_up/meta_embedding
Override: metajax train experiments/warm_up/meta_embedding.py --learner.inner-step-size 0.3 --name other
Takes:    some minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  no report is kept.
Follows:  Pan et al., 2019, https://arxiv.org/abs/1904.11547
"""

from metajax.experiment import (
    DataConfig,
    EpisodeConfig,
    EvaluationConfig,
    Experiment,
    MatrixFactorization,
    MetaEmbedding,
    TrainingConfig,
    WarmUp,
)
from metajax.experiment.search import Choice, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="warm_up/meta_embedding",
        data=DataConfig(source="ml-1m", identity=("user", "item")),
        split=WarmUp(),
        model=MatrixFactorization(),
        learner=MetaEmbedding(),
        episodes=EpisodeConfig(query_rows=20, min_support=20, max_support=20, buckets=()),
        training=TrainingConfig(outer_steps=6000, tasks_per_step=32, validate_every=200, patience=6),
        evaluation=EvaluationConfig(shots=(0, 20, 40), validation_shots=(0, 20), catalogue_cutoffs=()),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.inner_step_size": LogUniform(1e-2, 1.0),
        "model.factors": Choice((8, 16, 32, 64)),
    }
