"""The estimate of an item's mean rating from what the item table says of it."""

import json
from dataclasses import asdict

import numpy as np
import polars as pl
import pytest
from scipy import optimize

from metajax.data import content
from metajax.data.content import ContentEstimate, fit_content, mean_residuals
from metajax.data.content_scales import leave_one_out


def world(num_items=60, num_users=40, *, seed=0):
    """Items whose genre and maker tell how well they are liked, and ratings of them."""
    rng = np.random.default_rng(seed)
    genre = rng.integers(0, 3, num_items)
    maker = rng.integers(0, 12, num_items)
    worth = np.asarray([0.8, 0.0, -0.8])[genre] + 0.4 * rng.standard_normal(12)[maker]
    items = pl.DataFrame(
        {
            "item": np.arange(num_items),
            "title": [f"Film {maker[i]} part {i}" for i in range(num_items)],
            "genres": [[f"genre {genre[i]}"] for i in range(num_items)],
            "year": 1980 + rng.integers(0, 20, num_items),
            "note": [None] * num_items,
        },
        schema_overrides={"note": pl.String},
    )
    users, rated = np.nonzero(rng.random((num_users, num_items)) < 0.5)
    target = 3 + worth[rated] + 0.5 * rng.standard_normal(len(users))
    return items, pl.DataFrame({"user": users, "item": rated, "target": target}), worth


@pytest.fixture(scope="module")
def fitted():
    items, train, worth = world()
    known = train.filter(pl.col("item") < 50)
    return items, known, worth, fit_content(items, known)


def test_new_items_are_estimated_better_than_by_the_mean(fitted):
    items, _, worth, estimate = fitted
    found = estimate.encode(items)["content_estimate"][50:] * estimate.scale
    assert np.corrcoef(found, worth[50:])[0, 1] > 0.8
    assert np.mean((found - worth[50:]) ** 2) < 0.4 * np.var(worth[50:])


def test_a_new_item_s_estimate_by_hand(fitted):
    """k(new, fitted) times the dual, with counts looked up token by token."""
    items, _, _, estimate = fitted
    new, rated = items.row(55, named=True), [str(item) for item in estimate.own]

    def counts(view, row):
        found = {view.tokens[position]: view.counts[position] for position in view.read(pl.DataFrame([row]))[0]}
        length = np.sqrt(sum(count**2 for count in found.values())) if view.kind == "words" else 1.0
        return {token: count / max(length, 1e-12) for token, count in found.items()}

    def total(one, other):
        return sum(
            view.scale * sum(count * counts(view, other).get(token, 0.0) for token, count in counts(view, one).items())
            for view in estimate.views
        )

    found = 0.0
    for item, dual in zip(rated, estimate.dual, strict=True):
        old = items.row(int(item), named=True)
        together = total(new, old)
        correlation = together / np.sqrt(max(total(new, new) * total(old, old), 1e-24))
        found += (1 + together + estimate.square * correlation**2) * dual
    np.testing.assert_allclose(estimate.encode(items)["content_estimate"][55] * estimate.scale, found, rtol=1e-5)


def test_factors_are_the_leading_part_of_the_correlations(fitted):
    """As many as there are give N back; an item that was not fitted to is projected on the others."""
    items, _, _, estimate = fitted
    factors = estimate.encode(items)["content_factors"].astype(float)
    shapes = {column.name: column.size for column in estimate.columns}
    assert factors.shape == (60, shapes["content_factors"])
    matrices = [np.sqrt(view.scale) * view.matrix(items).toarray() for view in estimate.views]
    together = np.hstack(matrices) @ np.hstack(matrices).T
    length = np.sqrt(np.diag(together))
    correlations = together / np.outer(length, length)
    known = np.linalg.eigvalsh(correlations[:50, :50])
    left = known[: 50 - factors.shape[1]]
    np.testing.assert_allclose(np.sum(factors[:50] ** 2), known.sum() - left.sum(), rtol=1e-4)
    off = correlations[50:, :50] - factors[50:] @ factors[:50].T
    assert np.sqrt(np.mean(off**2)) < 0.05


def test_an_estimate_that_was_saved_without_factors_has_none(fitted):
    items, _, _, estimate = fitted
    document = json.loads(json.dumps(asdict(estimate)))
    del document["factors"]
    again = ContentEstimate.from_json(document)
    assert [column.name for column in again.columns] == ["content_estimate", "tokens"]
    assert set(again.encode(items)) == {"content_estimate", "tokens"}
    with pytest.raises(ValueError, match="differ in number"):
        ContentEstimate.from_json(document | {"factors": [[1.0]]})


def test_what_two_columns_say_together_counts():
    """An item is liked where two columns agree: neither says anything alone."""
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 2, (2, 120))
    worth = np.where(one == other, 0.8, -0.8)
    items = pl.DataFrame({"item": np.arange(120), "one": one.astype(str), "other": other.astype(str)})
    users, rated = np.nonzero(rng.random((40, 120)) < 0.5)
    train = pl.DataFrame({"user": users, "item": rated, "target": 3 + worth[rated] + 0.3 * rng.normal(size=len(users))})
    estimate = fit_content(items, train.filter(pl.col("item") < 100))
    assert np.corrcoef(estimate.encode(items)["content_estimate"][100:], worth[100:])[0, 1] > 0.9
    apart = fit_content(items, train.filter(pl.col("item") < 100), together=False)
    assert apart.square == 0
    assert np.corrcoef(apart.encode(items)["content_estimate"][100:], worth[100:])[0, 1] < 0.5


def test_short_columns_are_tokens_that_learners_compare(fitted):
    """Two items share a token where they share a value; a column's ids are apart from all others'."""
    items, _, _, estimate = fitted
    *_, column = estimate.columns
    tokens = estimate.encode(items)["tokens"]
    views = [view for view in estimate.views if view.kind != "number"]
    assert [view.column + " " + view.kind for view in views] == ["title words", "title lead", "genres bag"]
    assert tokens.shape == (60, sum(column.widths))
    assert column.size == 1 + sum(len(view.tokens) for view in views) > tokens.max()
    genres = tokens[:, -column.widths[-1] :]
    same = np.asarray([one == other for one in items["genres"].to_list() for other in items["genres"].to_list()])
    np.testing.assert_array_equal((genres[:, None, 0] == genres[None, :, 0]).ravel(), same)
    assert set(genres.ravel()).isdisjoint(set(tokens[:, : -column.widths[-1]].ravel()) - {0})


def test_an_item_with_too_many_tokens_keeps_some():
    items, train, _ = world()
    many = items.with_columns(cast=pl.Series([[f"actor {n}" for n in range(i % 40)] for i in range(60)]))
    estimate = fit_content(many, train)
    assert [view.column for view in estimate.views][-1] == "cast"
    cast = [view for view in estimate._compared() if view.column == "cast"]
    assert cast == []  # 19.5 on average
    few = many.with_columns(pl.when(pl.col("item") % 3 == 0).then(pl.col("cast")))
    estimate = fit_content(few, train)
    widths = dict(zip([view.column for view in estimate._compared()], estimate.columns[-1].widths, strict=True))
    assert widths["cast"] == 2 * content.MOST_TOKENS
    assert np.count_nonzero(estimate.encode(few)["tokens"][:, -widths["cast"] :], axis=1).max() == widths["cast"]


def test_a_fitted_item_is_estimated_without_its_own_ratings(fitted):
    """The closed form of leaving one out is leaving one out: scales and noise being what they are."""
    _, train, _, estimate = fitted
    residual, counts = mean_residuals(train, pl.Series("item", np.arange(50)))
    rng = np.random.default_rng(0)
    kernels = [np.eye(50) + 0.5, (lambda z: z @ z.T)(rng.standard_normal((50, 4)))]
    logs = np.log([0.3, 0.2, 0.05, 1.5])
    covariance = 1 + 0.3 * kernels[0] + 0.2 * kernels[1] + np.diag(0.05 + 1.5 / counts)
    dual, inverse = np.linalg.solve(covariance, residual), np.linalg.inv(covariance)
    others = np.arange(50) != 7
    left = covariance[7, others] @ np.linalg.solve(covariance[np.ix_(others, others)], residual[others])
    np.testing.assert_allclose(residual[7] - dual[7] / inverse[7, 7], left, rtol=1e-9)
    np.testing.assert_array_less(0, np.abs(list(estimate.own.values())))
    numeric = optimize.approx_fprime(logs, lambda at: leave_one_out(at, kernels, residual, counts)[0], 1e-6)
    np.testing.assert_allclose(leave_one_out(logs, kernels, residual, counts)[1], numeric, rtol=1e-4, atol=1e-4)


def test_an_item_s_own_ratings_leave_no_trace_in_its_estimate():
    """Raise all ratings of one item by a star: its own estimate moves by less than a quarter of what its mean does.

    It moves at all because scales are chosen anew, and raters are now thought to be milder.
    """
    items, train, _ = world()
    raised = train.with_columns(pl.when(pl.col("item") == 3).then(pl.col("target") + 1).otherwise(pl.col("target")))
    before, after = fit_content(items, train), fit_content(items, raised)
    assert abs(before.own["3"] - after.own["3"]) < 0.25


def test_items_without_training_ratings_leave_no_trace(fitted):
    items, train, _, estimate = fitted
    assert fit_content(items.head(50), train) == estimate
    assert set(estimate.own) == {str(item) for item in range(50)}


def test_items_beyond_the_limit_are_estimated_like_new_ones():
    items, train, _ = world()
    estimate = fit_content(items, train, most_items=30)
    assert len(estimate.own) == 30
    assert np.isfinite(estimate.encode(items)["content_estimate"]).all()


def test_it_is_saved_as_json(fitted):
    items, _, _, estimate = fitted
    again = ContentEstimate.from_json(json.loads(json.dumps(asdict(estimate))))
    np.testing.assert_array_equal(again.encode(items)["content_estimate"], estimate.encode(items)["content_estimate"])


def test_missing_columns_and_nulls_count_as_unknown(fitted):
    items, _, _, estimate = fitted
    bare = estimate.encode(pl.DataFrame({"item": ["somebody's"]}))["content_estimate"]
    np.testing.assert_allclose(bare, np.float32(sum(estimate.dual) / estimate.scale))
    nulls = items.tail(1).with_columns(*(pl.lit(None, items[name].dtype).alias(name) for name in items.columns[1:]))
    np.testing.assert_allclose(estimate.encode(nulls)["content_estimate"], bare)


def test_without_anything_to_tell_items_by_there_is_no_estimate():
    _, train, _ = world()
    assert fit_content(pl.DataFrame({"item": np.arange(60)}), train) is None
    few = train.filter(pl.col("item") < 5)
    assert fit_content(world()[0], few) is None


def test_a_word_of_all_titles_tells_nothing():
    items, train, _ = world()
    assert fit_content(items.select("item", title=pl.format("Film {}", "item")), train) is None


def test_views_of_a_column():
    kinds = lambda column: [view.kind for view in content._views(column)]  # noqa: E731
    assert kinds(pl.Series("title", ["Heat", "Alien", "Aliens 2", "Aliens 3"])) == ["words", "lead"]
    assert kinds(pl.Series("plot", [" ".join(f"word{i} other{i}" for i in range(n, n + 20)) for n in range(5)])) == [
        "words"
    ]
    assert kinds(pl.Series("mpaa", ["R", "R", "PG", None, "PG"])) == ["category"]
    assert kinds(pl.Series("year", [1990, 1991, 1995, None])) == ["number"]
    assert kinds(pl.Series("flag", [0, 1, 0, 1])) == []
    assert kinds(pl.Series("picture", [[0.1, 0.2]], dtype=pl.List(pl.Float64))) == []
    assert kinds(pl.Series("kind", ["a", "b", "a", "b"], dtype=pl.Categorical)) == ["category"]
    assert kinds(pl.Series("free", [True, False, True, True, None])) == ["category"]
    assert kinds(pl.Series("topics", [[1, 2], [2]], dtype=pl.List(pl.Int64))) == ["bag"]


def test_truth_values_and_categoricals_are_read_alike_when_fitted_and_later():
    items, train, worth = world()
    liked = items.with_columns(liked=pl.Series(worth > 0), free=pl.Series([i % 2 == 0 for i in range(60)]))
    estimate = fit_content(liked.select("item", "liked"), train.filter(pl.col("item") < 50))
    later = estimate.encode(liked.tail(10))["content_estimate"]
    assert later[worth[50:] > 0].min() > later[worth[50:] <= 0].max()


def test_a_column_may_be_called_as_anything():
    """A column called "len" is what the table says, not the number of ratings."""
    items, train, _ = world()
    named, plain = (fit_content(items.select("item", pl.col("year").alias(name)), train) for name in ("len", "year"))
    assert named.own == plain.own
    assert named.views[0].tokens == plain.views[0].tokens


def test_mean_residuals_by_hand():
    """Two users who differ by a star and rate the same two items: what remains is what the items differ by."""
    train = pl.DataFrame({"user": ["a", "a", "b", "b"], "item": ["x", "y", "x", "y"], "target": [5.0, 3.0, 4.0, 2.0]})
    residual, counts = mean_residuals(train, pl.Series("item", ["y", "x"]))
    np.testing.assert_allclose(residual, [-1, 1], atol=1e-12)
    assert counts.tolist() == [2, 2]
