"""Recommenders of other libraries as baselines: `implicit` and LensKit, each with candidates to choose from.

They are fitted by their own code and fold a new user in by their own code: `recalculate_user`, the sum over the
similarity matrix, a query with a history. Only what they return is laid out here.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import scipy.sparse as sp

from metajax.evaluation.baselines.base import Baseline, Predict, Training, in_batches, supports
from metajax.tasks.taskset import TaskSet


def peers(*, ratings: bool) -> Mapping[str, Sequence[Baseline]]:
    """Return name -> six candidates; with `ratings`, LensKit's recommenders that predict ratings too."""
    neighbours = (20, 50, 100, 200, 500, 1000)
    families = {
        "implicit ALS": [
            implicit_als(factors, penalty, alpha)
            for factors, penalty, alpha in (
                (64, 0.01, 1.0),
                (32, 10.0, 2.0),
                (64, 10.0, 2.0),
                (64, 30.0, 2.0),
                (64, 100.0, 11.0),
                (128, 30.0, 2.0),
            )
        ],
        "implicit cosine": [implicit_cosine(count) for count in neighbours],
        "implicit BM25": [
            implicit_bm25(count, b)
            for count, b in ((20, 0.75), (100, 0.75), (500, 0.75), (100, 0.2), (500, 0.2), (1000, 0.2))
        ],
        "LensKit ImplicitMF": [
            lenskit_implicit(size, penalty, weight)
            for size, penalty, weight in (
                (50, 0.1, 40.0),
                (32, 10.0, 1.0),
                (64, 10.0, 1.0),
                (64, 30.0, 1.0),
                (64, 100.0, 10.0),
                (128, 30.0, 1.0),
            )
        ],
        "LensKit ItemKNN": [lenskit_knn(count, "implicit") for count in neighbours],
    }
    if ratings:
        families |= {
            "LensKit BiasedMF": [
                lenskit_biased(size, penalty)
                for size, penalty in ((50, 0.1), (16, 0.1), (16, 0.3), (32, 0.1), (32, 0.3), (8, 0.1))
            ],
            "LensKit ItemKNN of ratings": [lenskit_knn(count, "explicit") for count in (10, 20, 30, 50, 100, 200)],
        }
    return families


def implicit_als(factors: int, penalty: float, alpha: float) -> Baseline:
    """ALS of Hu et al., the new user by `recalculate_user`."""

    def fit(training: Training) -> Predict:
        model = fitted_als(training, factors, penalty, alpha)

        def predict(tasks: TaskSet) -> np.ndarray:
            users = model.recalculate_user(np.arange(len(tasks)), supports(tasks, training.num_items))
            return _at_query(users @ model.item_factors.T, tasks)

        return in_batches(predict)

    return Baseline(f"implicit ALS, {factors} factors, penalty {penalty:g}, alpha {alpha:g}", fit, ranks_only=True)


def fitted_als(training: Training, factors: int, penalty: float, alpha: float):
    """Return implicit's own model."""
    from implicit.cpu.als import AlternatingLeastSquares

    with _quietly():
        model = AlternatingLeastSquares(factors=factors, regularization=penalty, alpha=alpha, random_state=0)
        model.fit(_clicks(training), show_progress=False)
    return model


def implicit_cosine(neighbours: int) -> Baseline:
    """Item-item kNN by the cosine of who took what up."""
    return _neighbours(
        f"implicit cosine, {neighbours} neighbours", lambda training: fitted_knn(training, neighbours, None)
    )


def implicit_bm25(neighbours: int, b: float) -> Baseline:
    """Item-item kNN with BM25 weights."""
    name = f"implicit BM25, {neighbours} neighbours, B {b:g}"
    return _neighbours(name, lambda training: fitted_knn(training, neighbours, b))


def fitted_knn(training: Training, neighbours: int, b: float | None):
    """Return implicit's own model: BM25, or without `b` the cosine."""
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender

    model = CosineRecommender(K=neighbours) if b is None else BM25Recommender(K=neighbours, B=b)
    with _quietly():
        model.fit(_clicks(training), show_progress=False)
    return model


def _neighbours(name: str, make: Callable) -> Baseline:
    def fit(training: Training) -> Predict:
        # what model.recommend sums for the users of its argument, of all items instead of the first N
        similarity = make(training).similarity
        return in_batches(lambda tasks: _at_query((supports(tasks, training.num_items) @ similarity).toarray(), tasks))

    return Baseline(name, fit, ranks_only=True)


def lenskit_implicit(size: int, penalty: float, weight: float) -> Baseline:
    """LensKit's implicit matrix factorisation by ALS."""

    def make():
        from lenskit.als import ImplicitMFScorer

        return ImplicitMFScorer(embedding_size=size, regularization=penalty, weight=weight)

    return _lenskit(f"LensKit ImplicitMF, {size} factors, penalty {penalty:g}, weight {weight:g}", make, True)


def lenskit_biased(size: int, penalty: float) -> Baseline:
    """LensKit's biased matrix factorisation of ratings by ALS."""

    def make():
        from lenskit.als import BiasedMFScorer

        return BiasedMFScorer(embedding_size=size, regularization=penalty)

    return _lenskit(f"LensKit BiasedMF, {size} factors, penalty {penalty:g}", make, False)


def lenskit_knn(neighbours: int, feedback: str) -> Baseline:
    """LensKit's item-item kNN, of ratings or of clicks."""

    def make():
        from lenskit.knn import ItemKNNScorer

        return ItemKNNScorer(max_nbrs=neighbours, feedback=feedback)

    return _lenskit(f"LensKit ItemKNN, {feedback}, {neighbours} neighbours", make, feedback == "implicit")


def _lenskit(name: str, make: Callable, ranks_only: bool) -> Baseline:
    """Ask a LensKit scorer about each task; where it knows nothing, the item's mean rating (or the lowest score)."""

    def fit(training: Training) -> Predict:
        import pandas as pd
        from lenskit.data import ItemList, RecQuery, from_interactions_df
        from lenskit.training import TrainingOptions

        rows = {"user_id": training.users, "item_id": training.items}
        rows |= {} if ranks_only else {"rating": training.target}
        scorer, known = make(), training.counts("items") > 0
        scorer.train(from_interactions_df(pd.DataFrame(rows)), TrainingOptions(rng=0))
        fallback = np.full(training.num_items, -1e9 if ranks_only else training.mean)
        if not ranks_only:
            counts = training.counts("items")
            damped = np.bincount(training.items, training.target - training.mean, training.num_items) / (counts + 5)
            fallback += damped

        def predict(tasks: TaskSet) -> np.ndarray:
            scores = np.empty(tasks.query_items.shape)
            for task in range(len(tasks)):
                real = (tasks.support_mask[task] > 0) & known[tasks.support_items[task]]  # LensKit raises at others
                about = {} if ranks_only else {"rating": tasks.support_target[task][real]}
                history = ItemList(item_ids=tasks.support_items[task][real], **about)
                asked = ItemList(item_ids=tasks.query_items[task])
                found = scorer(RecQuery(history_items=history), asked).scores("numpy")
                scores[task] = np.where(np.isfinite(found), found, fallback[tasks.query_items[task]])
            return scores

        return predict

    return Baseline(name, fit, ranks_only=ranks_only)


@contextmanager
def _quietly() -> Iterator[None]:
    """Leave out what implicit warns of: threads of the BLAS, and a conversion of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _clicks(training: Training) -> sp.csr_matrix:
    return training.matrix(np.ones(len(training.target), np.float32))


def _at_query(everything: np.ndarray, tasks: TaskSet) -> np.ndarray:
    return np.take_along_axis(everything, tasks.query_items, axis=1)
