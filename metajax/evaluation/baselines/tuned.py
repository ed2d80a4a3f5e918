"""Tuned versions of the baselines: a few candidates each, of which validation users choose one."""

from collections.abc import Mapping, Sequence

from metajax.evaluation.baselines.als import als_fold_in
from metajax.evaluation.baselines.base import Baseline
from metajax.evaluation.baselines.bias import content_ridge, damped_bias
from metajax.evaluation.baselines.ease import ease
from metajax.evaluation.baselines.implicit import cosine_knn, implicit_als
from metajax.evaluation.baselines.neighbours import item_knn


def tuned_baselines() -> Mapping[str, Sequence[Baseline]]:
    """Return name -> candidates; a candidate's name tells its hyper-parameters."""
    return {
        "EASE, tuned": [
            ease(penalty=penalty, name=f"EASE, penalty {penalty:g}") for penalty in (60.0, 250.0, 1000.0, 3000.0)
        ],
        "item-kNN of clicks, tuned": [
            cosine_knn(power=power, shrinkage=shrinkage, name=f"item-kNN of clicks, power {power:g}, {shrinkage:g}")
            for power in (0.25, 0.35, 0.5)
            for shrinkage in (0.0, 20.0)
        ],
        "iALS fold-in, tuned": [
            implicit_als(
                factors=factors,
                weight=weight,
                penalty=penalty,
                name=f"iALS, {factors} factors, weight {weight:g}, penalty {penalty:g}",
            )
            for factors, weight, penalty in (
                (16, 1.0, 10.0),
                (32, 1.0, 10.0),
                (64, 1.0, 10.0),
                (64, 1.0, 30.0),
                (64, 1.0, 100.0),
                (64, 10.0, 100.0),
            )
        ],
        "item-kNN, tuned": [
            item_knn(
                neighbours=neighbours,
                shrinkage=shrinkage,
                name=f"item-kNN, {neighbours} neighbours, shrinkage {shrinkage:g}",
            )
            for neighbours in (20, 50)
            for shrinkage in (15.0, 30.0, 60.0)
        ],
        "bias, tuned": [
            damped_bias(damping=damping, user_damping=user, name=f"bias, damping {damping:g} and {user:g}")
            for damping in (2.0, 5.0, 12.0)
            for user in (1.5, 3.0, 6.0)
        ],
        "bias + content ridge, tuned": [
            content_ridge(penalty=penalty, user_damping=user, name=f"content ridge, penalty {penalty:g}, {user:g}")
            for penalty in (8.0, 15.0, 30.0)
            for user in (1.5, 3.0)
        ],
        "ALS fold-in, tuned": [
            als_fold_in(
                factors=factors,
                penalty=penalty,
                fold_in_penalty=penalty,
                name=f"ALS, {factors} factors, penalty {penalty:g}",
            )
            for factors in (8, 16, 32)
            for penalty in (4.0, 6.0, 9.0)
        ],
    }
