"""Summaries agree with direct numpy; the user is the unit; the reference is given, never looked for."""

import numpy as np
import polars as pl
import pytest
from evaluation.report_frames import PROTOCOL, results_frame

from metajax.errors import ConfigError
from metajax.evaluation.statistics import bootstrap_means, holm, sign_flip_test
from metajax.evaluation.summary import NUM_BINS, summarise

USERS = 40
METHODS = (("maml", "learner", 0.7), ("bias", "baseline", 0.75), ("mean", "baseline", 0.9))


@pytest.fixture(scope="module")
def frame():
    """User 1003 has no AUC, as null, and user 1004 as NaN."""
    auc = pl.when(pl.col("user") == 1003).then(None).when(pl.col("user") == 1004).then(float("nan")).otherwise("ndcg@5")
    return results_frame(METHODS, num_users=USERS).with_columns(auc=auc)


@pytest.fixture(scope="module")
def summary(frame):
    return summarise(frame, protocol=PROTOCOL, reference_baseline="bias", seed=7)


def column(frame, metric, **keys):
    """Return `[users]` values averaged over seeds, in the order of users."""
    kept = frame.filter(*[pl.col(name).eq_missing(pl.lit(value)) for name, value in keys.items()])
    return kept.group_by("user").agg(pl.col(metric).mean()).sort("user")[metric].to_numpy()


def pick(found, **keys):
    (one,) = [one for one in found if all(getattr(one, name) == value for name, value in keys.items())]
    return one


def test_metrics_in_which_all_are_alike_tell_nothing(frame):
    """As the nDCG of a user's own clicks: 1, whatever is ranked first."""
    alike = summarise(frame.with_columns(pl.lit(1.0).alias("ndcg@5")), protocol=PROTOCOL, reference_baseline="bias")
    assert set(alike.metrics("user_cold")) - set(alike.telling("user_cold")) == {"ndcg@5"}
    alike = summarise(
        frame.select(pl.exclude("mae", "mse", "auc")).with_columns(pl.lit(1.0).alias("ndcg@5")),
        protocol=PROTOCOL,
        reference_baseline="bias",
    )
    assert alike.telling("user_cold") == alike.metrics("user_cold")


@pytest.mark.parametrize("k", [0, 5, None])
@pytest.mark.parametrize("metric", ["mae", "ndcg@5", "auc"])
def test_value_is_the_mean_over_users_of_the_mean_over_seeds(frame, summary, metric, k):
    values = column(frame.with_columns(pl.col(metric).fill_nan(None)), metric, method="maml", k=k)
    one = pick(summary.estimates, method="maml", metric=metric, k=k)
    np.testing.assert_allclose(one.value, np.nanmean(values), rtol=1e-12)
    assert one.low < one.value < one.high
    assert one.seeds == (0, 1)


def test_interval_is_the_percentiles_of_the_bootstrap_over_users(frame, summary):
    samples = bootstrap_means(column(frame, "mae", method="bias", k=5)[:, None], seed=7)
    one = pick(summary.estimates, method="bias", metric="mae", k=5)
    np.testing.assert_allclose((one.low, one.high), np.percentile(samples, (2.5, 97.5)), rtol=1e-12)


def test_rmse_is_the_root_of_the_mean_squared_error(frame, summary):
    values = column(frame, "mse", method="maml", k=None)
    one = pick(summary.estimates, method="maml", metric="rmse", k=None)
    np.testing.assert_allclose(one.value, np.sqrt(values.mean()), rtol=1e-12)
    samples = np.sqrt(bootstrap_means(values[:, None], seed=7))
    np.testing.assert_allclose((one.low, one.high), np.percentile(samples, (2.5, 97.5)), rtol=1e-12)
    assert "mse" not in summary.metrics("user_cold")


def test_undefined_users_are_left_out_and_counted(summary):
    assert pick(summary.estimates, method="maml", metric="auc", k=None).users == USERS - 2
    assert pick(summary.comparisons, metric="auc", k=None).users == USERS - 2


def test_seed_deviation_is_between_the_means_of_seeds(frame, summary):
    means = frame.filter(pl.col("method") == "maml", pl.col("k").is_null()).group_by("seed").agg(pl.col("mae").mean())
    one = pick(summary.estimates, method="maml", metric="mae", k=None)
    np.testing.assert_allclose(one.seed_deviation, means["mae"].to_numpy().std(ddof=1), rtol=1e-12)
    assert pick(summary.estimates, method="bias", metric="mae", k=None).seed_deviation is None


def test_two_equal_seeds_are_no_more_evidence_than_one(frame):
    once = frame.filter(pl.col("seed").is_null() | (pl.col("seed") == 0))
    twice = pl.concat([once, once.filter(pl.col("seed") == 0).with_columns(seed=pl.lit(1, pl.Int32))])
    one, two = (summarise(rows, protocol=PROTOCOL, reference_baseline="bias") for rows in (once, twice))
    np.testing.assert_allclose(
        [(e.value, e.low, e.high, e.users) for e in one.estimates],
        [(e.value, e.low, e.high, e.users) for e in two.estimates],
        rtol=1e-12,
    )
    assert [c.p for c in one.comparisons] == [c.p for c in two.comparisons]


def test_the_order_of_rows_does_not_matter(frame, summary):
    shuffled = frame.group_by("method", "k", "seed", maintain_order=True).map_groups(lambda part: part.reverse())
    again = summarise(shuffled, protocol=PROTOCOL, reference_baseline="bias", seed=7)
    np.testing.assert_allclose(
        [(e.value, e.low, e.high) for e in again.estimates], [(e.value, e.low, e.high) for e in summary.estimates]
    )


def test_learners_are_tested_against_the_reference_and_corrected_over_the_table(frame, summary):
    compared = [one for one in summary.comparisons if one.k is None]
    assert [(one.method, one.reference, one.metric) for one in compared] == [
        ("maml", "bias", metric) for metric in ("mae", "rmse", "ndcg@5", "auc")
    ]
    np.testing.assert_allclose([one.p_holm for one in compared], holm(np.array([one.p for one in compared])))
    difference = column(frame, "mae", method="maml", k=None) - column(frame, "mae", method="bias", k=None)
    one = pick(compared, metric="mae")
    np.testing.assert_allclose(one.difference, difference.mean(), rtol=1e-9)
    samples = bootstrap_means(difference[:, None], seed=7)
    np.testing.assert_allclose((one.low, one.high), np.percentile(samples, (2.5, 97.5)), rtol=1e-9)


def test_rmse_is_tested_on_squared_errors(frame, summary):
    squared = [column(frame, "mse", method=method, k=5) for method in ("maml", "bias")]
    one = pick(summary.comparisons, metric="rmse", k=5)
    np.testing.assert_allclose(one.difference, np.sqrt(squared[0].mean()) - np.sqrt(squared[1].mean()), rtol=1e-9)
    assert one.p == sign_flip_test((squared[0] - squared[1])[:, None], seed=7)[0]


def test_a_better_baseline_on_test_users_does_not_become_the_reference(frame):
    found = summarise(frame, protocol=PROTOCOL, reference_baseline={"user_cold": "mean"})
    assert found.reference_baseline == {"user_cold": "mean"}
    assert {one.reference for one in found.comparisons} == {"mean"}


@pytest.mark.parametrize("reference", ["nobody", "maml", {"item_cold": "bias"}])
def test_a_reference_that_is_not_a_baseline_is_refused(frame, reference):
    with pytest.raises(ConfigError, match=r"is not a baseline of scenario 'user_cold'.*\['bias', 'mean'\]"):
        summarise(frame, protocol=PROTOCOL, reference_baseline=reference)


def test_each_scenario_may_have_its_own_reference():
    both = results_frame(METHODS, scenarios=("user_cold", "item_cold"), shots=(None,), num_users=12)
    references = {"user_cold": "bias", "item_cold": "mean"}
    found = summarise(both, protocol=PROTOCOL, reference_baseline=references)
    assert {(one.scenario, one.reference) for one in found.comparisons} == set(references.items())


def test_a_user_without_a_value_leaves_the_pair(frame):
    gone = (pl.col("user") < 1010) & (pl.col("method") == "bias")
    holed = frame.with_columns(mae=pl.when(gone).then(float("nan")).otherwise("mae"))
    found = summarise(holed, protocol=PROTOCOL, reference_baseline="bias")
    gap = (column(frame, "mae", method="maml", k=None) - column(frame, "mae", method="bias", k=None))[10:]
    one = pick(found.comparisons, metric="mae", k=None)
    np.testing.assert_allclose(one.difference, gap.mean(), rtol=1e-9)
    assert one.users == USERS - 10
    assert pick(found.estimates, method="maml", metric="mae", k=None).users == USERS


def test_a_metric_that_one_method_lacks_is_absent_not_zero(frame):
    without = pl.when(pl.col("method") == "mean").then(None).otherwise("mae").alias("mae")
    found = summarise(frame.with_columns(without), protocol=PROTOCOL, reference_baseline="mean")
    assert {one.method for one in found.estimates if one.metric == "mae"} == {"maml", "bias"}
    assert "mae" not in {one.metric for one in found.comparisons}
    assert "rmse" in {one.metric for one in found.comparisons}


def test_scenarios_are_summarised_apart():
    found = summarise(
        results_frame(METHODS, scenarios=("user_cold", "item_cold"), num_users=12),
        protocol=PROTOCOL,
        reference_baseline="bias",
    )
    assert found.scenarios == ("user_cold", "item_cold")
    assert found.shots("item_cold") == (0, 5, None)
    assert found.seeds == (0, 1)


@pytest.mark.parametrize("by", ["history", "popularity"])
def test_bins_share_out_the_users_and_average_their_error(frame, summary, by):
    bins = [one for one in summary.breakdown if one.by == by and one.method == "bias"]
    assert len(bins) == NUM_BINS
    assert sum(one.users for one in bins) == USERS
    assert by == "history" or {one.users for one in bins} == {USERS // NUM_BINS}
    rows = frame.filter(pl.col("method") == "bias", pl.col("k").is_null())
    for one in bins:
        inside = rows.filter(pl.col(by).is_between(one.first, one.last))
        np.testing.assert_allclose(one.value, inside["mae"].mean(), rtol=1e-12)
        assert one.low <= one.value <= one.high


def test_users_that_are_all_alike_share_one_bin(frame):
    alike = frame.with_columns(history=pl.lit(20), popularity=pl.lit(None, pl.Float64))
    found = summarise(alike, protocol=PROTOCOL, reference_baseline="bias").breakdown
    assert [(one.by, one.first, one.last, one.users) for one in found] == [("history", 20, 20, USERS)] * 3


def test_a_user_whom_one_method_lacks_leaves_the_pair_only(frame):
    gone = (pl.col("user") < 1010) & (pl.col("method") == "bias")
    holed = frame.with_columns(mae=pl.when(gone).then(float("nan")).otherwise("mae"))
    found = summarise(holed, protocol=PROTOCOL, reference_baseline="bias")
    gap = column(frame, "mae", method="maml", k=None) - column(frame, "mae", method="bias", k=None)
    one = pick(found.comparisons, metric="mae", k=None)
    np.testing.assert_allclose(one.difference, gap[10:].mean(), rtol=1e-9)
    users = {each.method: each.users for each in found.estimates if each.metric == "mae" and each.k is None}
    assert (one.users, users) == (USERS - 10, {"maml": USERS, "bias": USERS - 10, "mean": USERS})


def test_the_whole_catalogue_has_a_reference_of_its_own(frame):
    """All tests of a support size are corrected together, whatever they are against."""
    ranked = frame.with_columns(pl.col("ndcg@5").alias("catalogue_ndcg@10"))
    summary = summarise(
        ranked, protocol=PROTOCOL, reference_baseline="bias", rank_reference={"user_cold": "mean"}, seed=7
    )
    assert summary.rank_reference == {"user_cold": "mean"}
    full = [one for one in summary.comparisons if one.k is None]
    assert {one.metric: one.reference for one in full}["catalogue_ndcg@10"] == "mean"
    assert {one.reference for one in full if not one.metric.startswith("catalogue_")} == {"bias"}
    np.testing.assert_allclose([one.p_holm for one in full], holm(np.array([one.p for one in full])))
    with pytest.raises(ConfigError, match="is not a baseline"):
        summarise(ranked, protocol=PROTOCOL, reference_baseline="bias", rank_reference={"user_cold": "EASE"})
