"""Baselines against the formulas of one user written out, on small random data."""

import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from metajax.data import Feature, factorization, interactions_from_frame
from metajax.errors import ConfigError
from metajax.evaluation.baselines import (
    Training,
    als_fold_in,
    base,
    content_ridge,
    damped_bias,
    default_baselines,
    ease,
    global_mean,
    in_units,
    item_knn,
    item_mean,
    popularity,
    random_scores,
    user_mean,
)
from metajax.evaluation.baselines.als import fit_items
from metajax.evaluation.baselines.base import content_features, in_support, sums_over_support
from metajax.evaluation.baselines.bias import fit_biases
from metajax.evaluation.baselines.methods import score_catalogue
from metajax.experiment.baseline_results import makes_sense
from metajax.tasks import TaskSet

NUM_USERS, NUM_ITEMS, COLD = 20, 12, 11


@pytest.fixture(scope="module")
def training():
    """Item 11 is cold: nobody has rated it."""
    rng = np.random.default_rng(0)
    seen = rng.random((NUM_USERS, NUM_ITEMS)) < 0.6
    seen[:, COLD] = False
    users, items = np.nonzero(seen)
    target = rng.integers(1, 6, len(users)).astype(float)
    content = sp.csr_matrix((rng.random((NUM_ITEMS, 5)) < 0.5).astype(float))
    return Training(users, items, target, NUM_USERS, NUM_ITEMS, content)


@pytest.fixture(scope="module")
def tasks():
    """Supports of four, two and no rows; padding holds item 0, which the second user did not rate."""
    return TaskSet(
        "toy",
        np.zeros(3, np.int32),
        np.zeros(3, np.int32),
        np.array([[3, 0, 7, 9], [5, 2, 0, 0], [0, 0, 0, 0]], np.int32),
        np.array([[5, 3, 1, 4], [2, 4, 0, 0], [0, 0, 0, 0]], np.float32),
        np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], np.float32),
        np.array([[1, COLD], [0, 8], [4, 6]], np.int32),
        np.array([[5, 1], [2, 2], [3, 4]], np.float32),
        np.ones((3, 2), np.float32),
    )


def rows(tasks, task):
    real = tasks.support_mask[task] > 0
    return tasks.support_items[task][real], tasks.support_target[task][real].astype(float)


def test_content_is_every_value_of_categories_and_bags():
    """Numbers, users' features and empty cells are no content; a value twice in a bag counts once."""
    ratings = pl.DataFrame({"user": [1, 1, 2], "item": [7, 8, 9], "target": [3.0, 4.0, 5.0]})
    items = pl.DataFrame({
        "item": [7, 8, 9], "rated": ["PG", None, "R"], "genres": [["a", "b"], ["b", "b"], []], "year": [1.0, 2.0, 3.0],
    })  # fmt: skip
    users = pl.DataFrame({"user": [1, 2], "job": ["x", "y"]})
    features = (
        Feature("rated", "item", "category"), Feature("genres", "item", "bag"), Feature("year", "item", "number"),
        Feature("job", "user", "category"),
    )  # fmt: skip
    world = interactions_from_frame(ratings, users=users, items=items, features=features)
    found = content_features(world).toarray()
    row = {item: found[place].tolist() for place, item in enumerate(world.items["item"])}
    assert row == {7: [1, 0, 1, 1], 8: [0, 0, 0, 1], 9: [0, 1, 0, 0]}


def test_content_of_vectors_is_their_direction_from_the_mean(monkeypatch):
    items = pl.DataFrame(
        {"item": [1, 2, 3], "sound": [[1.0, 0.0], [3.0, 0.0], None], "text_vector": [[0.0], [2.0], [1.0]]}
    )
    ratings = pl.DataFrame({"user": [1], "item": [1], "target": [4.0]})
    world = interactions_from_frame(ratings, items=items, features=[Feature("sound", "item", "vector")])
    world = replace(world, items=world.items.with_columns(items["text_vector"]))
    np.testing.assert_array_equal(content_features(world).toarray(), [[-1, 0, -1], [1, 0, 1], [0, 0, 0]])
    monkeypatch.setattr(base, "MOST_NUMBERS", 5)
    np.testing.assert_array_equal(content_features(world).toarray(), [[-1], [1], [0]])


def test_means(training, tasks):
    mean = training.target.mean()
    np.testing.assert_allclose(global_mean().fit(training)(tasks), mean)
    np.testing.assert_allclose(user_mean().fit(training)(tasks)[:, 0], [13 / 4, 3, mean])
    of_item_1 = training.target[training.items == 1].mean()
    np.testing.assert_allclose(item_mean().fit(training)(tasks)[0], [of_item_1, mean])
    np.testing.assert_allclose(popularity().fit(training)(tasks)[0], [(training.items == 1).sum(), 0])


def test_biases_alternate_and_a_cold_item_gets_its_content(training):
    biases = fit_biases(training)
    rated = training.items == 4
    residual = training.target[rated] - training.mean - biases.user[training.users[rated]]
    assert biases.item[4] == pytest.approx(residual.sum() / (rated.sum() + 5))
    counts = np.bincount(training.items, minlength=NUM_ITEMS)
    weight = np.diag(counts / (counts + 10))
    content = training.content.toarray()
    warm = np.where(counts > 0, biases.item, 0)
    expected = content @ np.linalg.solve(content.T @ weight @ content + 6 * np.eye(5), content.T @ weight @ warm)
    assert biases.item[COLD] == pytest.approx(expected[COLD], abs=1e-9)


def test_bias_folds_the_user_in(training, tasks):
    biases, found = fit_biases(training), damped_bias().fit(training)(tasks)
    for task in range(3):
        items, target = rows(tasks, task)
        user = (target - training.mean - biases.item[items]).sum() / (len(items) + 3)
        np.testing.assert_allclose(found[task], training.mean + user + biases.item[tasks.query_items[task]], rtol=1e-6)


def test_content_ridge_is_the_primal_ridge_of_each_user(training, tasks):
    content, base = training.content.toarray(), damped_bias().fit(training)
    found = content_ridge().fit(training)(tasks)
    on_support = base(replace(tasks, query_items=tasks.support_items, query_mask=tasks.support_mask))
    for task in range(3):
        items, target = rows(tasks, task)
        x = content[items]
        weights = np.linalg.solve(x.T @ x + 15 * np.eye(5), x.T @ (target - on_support[task, : len(items)]))
        expected = base(tasks)[task] + content[tasks.query_items[task]] @ weights
        np.testing.assert_allclose(found[task], expected, rtol=1e-5)


def test_als_folds_in_by_the_normal_equations(training, tasks):
    item = fit_items(training, 3, 4.0, 5.0, 12, 0)
    found = als_fold_in(factors=3).fit(training)(tasks)
    for task in range(3):
        items, target = rows(tasks, task)
        x = np.hstack([np.ones((len(items), 1)), item[items, 1:]])
        residual = target - training.mean - item[items, 0]
        user = np.linalg.solve(x.T @ x + np.diag([3, 4, 4, 4]), x.T @ residual)
        query = tasks.query_items[task]
        expected = training.mean + item[query, 0] + np.hstack([np.ones((2, 1)), item[query, 1:]]) @ user
        np.testing.assert_allclose(found[task], expected, rtol=1e-6)
    assert not item[COLD, 1:].any()


def test_als_sweeps_lower_the_regularised_error(training):
    def error(sweeps):
        item = fit_items(training, 3, 4.0, 5.0, sweeps, 0)
        user = np.zeros((NUM_USERS, 4))
        for u in range(NUM_USERS):
            seen = training.items[training.users == u]
            x = np.hstack([np.ones((len(seen), 1)), item[seen, 1:]])
            right = training.target[training.users == u] - training.mean - item[seen, 0]
            user[u] = np.linalg.solve(x.T @ x + np.diag([5, 4, 4, 4]), x.T @ right)
        factors = (user[training.users, 1:] * item[training.items, 1:]).sum(1)
        means = training.mean + user[training.users, 0] + item[training.items, 0] + factors
        warm = item[:COLD]
        penalty = 5 * ((user[:, 0] ** 2).sum() + (warm[:, 0] ** 2).sum())
        penalty += 4 * ((user[:, 1:] ** 2).sum() + (warm[:, 1:] ** 2).sum())
        return ((training.target - means) ** 2).sum() + penalty

    errors = [error(sweeps) for sweeps in (1, 2, 4, 8)]
    assert errors == sorted(errors, reverse=True)


def test_ease_is_its_formula_by_either_inverse(training, tasks):
    def expected(training):
        x = np.zeros((training.num_users, NUM_ITEMS))
        x[training.users, training.items] = 1
        inverse = np.linalg.inv(x.T @ x + 2 * np.eye(NUM_ITEMS))
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0)
        rated = np.zeros((3, NUM_ITEMS))
        for task in range(3):
            rated[task, rows(tasks, task)[0]] = 1
        return np.take_along_axis(rated @ weights, tasks.query_items, axis=1)

    few = training.users < 6
    by_users = replace(
        training, users=training.users[few], items=training.items[few], target=training.target[few], num_users=6
    )
    for one in (training, by_users):
        np.testing.assert_allclose(ease(penalty=2.0).fit(one)(tasks), expected(one), atol=1e-5)


def test_sums_over_the_support_are_the_same_asked_for_few_items_and_for_all(tasks):
    matrix = np.random.default_rng(0).normal(size=(NUM_ITEMS, NUM_ITEMS)).astype(np.float32)
    everything = np.broadcast_to(np.arange(NUM_ITEMS), (3, NUM_ITEMS))
    for sums in (lambda some: sums_over_support(some, matrix), lambda some: in_support(some, NUM_ITEMS)):
        few, all_items = sums(tasks), sums(replace(tasks, query_items=everything))
        np.testing.assert_allclose(few, np.take_along_axis(all_items, tasks.query_items, axis=1), rtol=1e-5, atol=1e-6)
        assert not all_items[2].any()  # nothing rated


def test_neighbours_pull_towards_what_alike_items_got(training, tasks):
    """With one rated item the move from the bias is s r / (s + damping), of the sign of that rating's residual."""
    one = tasks.k_shot(1).take(np.array([0]))
    base, found = damped_bias().fit(training)(one), item_knn().fit(training)(one)
    biases = fit_biases(training)
    residual = 5 - training.mean - biases.item[3]
    residual -= residual / 4
    moves = (found - base)[0]
    assert (np.sign(moves) * np.sign(residual) >= 0).all()
    assert (np.abs(moves) <= abs(residual) + 1e-6).all()
    np.testing.assert_allclose(item_knn().fit(training)(tasks)[2], damped_bias().fit(training)(tasks)[2])


@pytest.mark.parametrize("make", [als_fold_in, damped_bias, item_knn, content_ridge, ease])
def test_a_baseline_in_units_sees_targets_in_them(make, training, tasks):
    own = make().fit(training)(tasks)
    told = replace(training, target=20 * training.target), replace(tasks, support_target=20 * tasks.support_target)
    found = in_units(make(), 20.0).fit(told[0])(told[1])
    np.testing.assert_allclose(found, own if make is ease else 20 * own, rtol=1e-5)


def test_als_in_blocks_of_rows_is_als(training, tasks, monkeypatch):
    whole = als_fold_in(factors=3).fit(training)(tasks)
    monkeypatch.setattr(factorization, "ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(als_fold_in(factors=3).fit(training)(tasks), whole, rtol=1e-12)


def test_a_catalogue_scored_a_user_at_a_time_is_scored(training, tasks, monkeypatch):
    predict = ease().fit(training)
    whole = score_catalogue(predict, tasks, NUM_ITEMS)
    monkeypatch.setattr(sys.modules[score_catalogue.__module__], "CELLS_AT_ONCE", NUM_ITEMS)
    np.testing.assert_allclose(score_catalogue(predict, tasks, NUM_ITEMS), whole, rtol=1e-6)
    assert np.isfinite(whole).all()


@pytest.mark.parametrize("catalogue", [False, True], ids=["few items", "all items"])
def test_a_content_ridge_of_many_items_is_that_of_few(catalogue, training, tasks, monkeypatch):
    """Beyond a number of items their inner products are not held: weights of the content take their place."""
    if catalogue:
        everything, ones = np.tile(np.arange(NUM_ITEMS, dtype=np.int32), (3, 1)), np.ones((3, NUM_ITEMS), np.float32)
        tasks = replace(tasks, query_items=everything, query_target=ones, query_mask=ones)
    whole = content_ridge().fit(training)(tasks)
    monkeypatch.setattr(sys.modules[content_ridge.__module__], "MOST_ITEMS", NUM_ITEMS - 1)
    np.testing.assert_allclose(content_ridge().fit(training)(tasks), whole, rtol=1e-5, atol=1e-6)


def test_every_user_has_random_scores_of_their_own(training):
    """In blocks of users too, each of which asks anew."""
    count = 200
    zero = np.zeros((count, 1), np.int32)
    some = TaskSet("", zero[:, 0], np.arange(count, dtype=np.int32), zero, 0.0 * zero, 0.0 * zero, zero, zero, zero)
    scores = score_catalogue(random_scores().fit(training), some, NUM_ITEMS)
    assert len(np.unique(scores, axis=0)) == count
    assert abs(scores.mean() - 0.5) < 0.05
    other = score_catalogue(random_scores(1).fit(training), some, NUM_ITEMS)
    assert not np.any(scores == other)


def test_what_does_not_fit_is_refused(training):
    for made, told in ((ease(), "EASE inverts"), (item_knn(), "item-kNN holds a matrix")):
        with pytest.raises(ConfigError, match=told):
            made.fit(replace(training, num_items=20_000, num_users=20_000))
    assert not ease().affordable(replace(training, num_items=200_000, num_users=10_000))  # who rated what is 8 GB


@pytest.mark.parametrize("baseline", default_baselines(), ids=lambda one: one.name)
def test_query_targets_and_padding_change_nothing(baseline, training, tasks):
    predict = baseline.fit(training)
    found = predict(tasks)
    assert np.isfinite(found).all()
    hidden = replace(tasks, query_target=np.full_like(tasks.query_target, np.nan))
    np.testing.assert_array_equal(predict(hidden), found)
    nonsense = np.where(tasks.support_mask > 0, tasks.support_target, 99).astype(np.float32)
    np.testing.assert_array_equal(predict(replace(tasks, support_target=nonsense)), found)


@pytest.mark.parametrize("width", [7, 30], ids=["fewer features than items", "more: the dual form"])
def test_full_content_is_read_by_dense_products_to_the_same_end(width, training, tasks, monkeypatch):
    """Content of vectors is full; a ridge of it by sparse and by dense arithmetic is the same."""
    full = sp.csr_matrix(np.random.default_rng(3).standard_normal((NUM_ITEMS, width)))
    dense = content_ridge().fit(replace(training, content=full))(tasks)
    monkeypatch.setattr(base, "is_full", lambda _: False)
    monkeypatch.setattr(sys.modules[fit_biases.__module__], "is_full", lambda _: False)
    np.testing.assert_allclose(content_ridge().fit(replace(training, content=full))(tasks), dense, rtol=1e-5, atol=1e-6)


def test_content_ridge_is_left_out_where_nothing_is_known_of_items(training):
    assert makes_sense(content_ridge(), training)
    assert not makes_sense(content_ridge(), replace(training, content=training.content[:, :0]))


def test_what_is_too_large_is_left_out(training, monkeypatch):
    """Nothing is measured that would raise; everything else is."""
    names = lambda: {one.name for one in default_baselines() if makes_sense(one, training)}  # noqa: E731
    every = names()
    assert every == {one.name for one in default_baselines()}
    module_of = lambda function: sys.modules[function.__module__]  # noqa: E731
    for made in (ease, item_knn):
        monkeypatch.setattr(module_of(made), "MOST_ITEMS", 11)
    assert every - names() == {"EASE", "item-kNN"}
    for baseline in default_baselines():
        if not makes_sense(baseline, training):
            with pytest.raises(ConfigError, match="are over 11"):
                baseline.fit(training)
    taken = replace(training, target=np.ones_like(training.target))
    assert {one.name for one in default_baselines() if makes_sense(one, taken)} == {
        "random", "popularity", "item-kNN of clicks", "iALS fold-in",
    }  # fmt: skip
