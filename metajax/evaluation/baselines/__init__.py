"""Baselines without meta-learning, which every table carries: a learner that does not beat them has no claim."""

from metajax.evaluation.baselines.als import als_fold_in as als_fold_in
from metajax.evaluation.baselines.base import Baseline as Baseline
from metajax.evaluation.baselines.base import Training as Training
from metajax.evaluation.baselines.base import in_units as in_units
from metajax.evaluation.baselines.base import training_of as training_of
from metajax.evaluation.baselines.bias import content_ridge as content_ridge
from metajax.evaluation.baselines.bias import damped_bias as damped_bias
from metajax.evaluation.baselines.ease import ease as ease
from metajax.evaluation.baselines.implicit import cosine_knn as cosine_knn
from metajax.evaluation.baselines.implicit import implicit_als as implicit_als
from metajax.evaluation.baselines.means import global_mean as global_mean
from metajax.evaluation.baselines.means import item_mean as item_mean
from metajax.evaluation.baselines.means import popularity as popularity
from metajax.evaluation.baselines.means import random_scores as random_scores
from metajax.evaluation.baselines.means import user_mean as user_mean
from metajax.evaluation.baselines.neighbours import item_knn as item_knn
from metajax.evaluation.baselines.tuned import tuned_baselines as tuned_baselines


def default_baselines() -> tuple[Baseline, ...]:
    """Return the baselines of every table, with the hyper-parameters of their published recipes."""
    return (
        random_scores(),
        global_mean(),
        user_mean(),
        item_mean(),
        popularity(),
        ease(),
        cosine_knn(),
        implicit_als(),
        item_knn(),
        damped_bias(),
        content_ridge(),
        als_fold_in(),
    )
