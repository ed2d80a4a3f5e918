"""Gaps between groups of users, by hand."""

import numpy as np
import polars as pl
import pytest
from evaluation.report_frames import PROTOCOL, results_frame

from metajax.data import Feature, interactions_from_frame
from metajax.evaluation.groups import user_groups
from metajax.evaluation.page import render_page
from metajax.evaluation.summary import summarise


@pytest.fixture(scope="module")
def groups():
    """Users 1000 to 1024 are of group a, 1025 to 1039 (too few) of b, and the rest of c."""
    return pl.DataFrame({"user": np.arange(1000, 1060), "part": ["a"] * 25 + ["b"] * 15 + ["c"] * 20})


def test_a_gap_is_the_group_less_all_others(groups):
    frame = results_frame([("bias", "baseline", 0.8), ("maml", "learner", 0.7)], num_users=60)
    summary = summarise(frame, protocol=PROTOCOL, reference_baseline="bias", groups=groups)
    assert {one.group for one in summary.groups} == {"a", "c"}
    one = next(one for one in summary.groups if (one.method, one.group) == ("maml", "a"))
    rows = frame.filter((pl.col("method") == "maml") & pl.col("k").is_null()).group_by("user").agg(pl.col("mae").mean())
    inside = rows.filter(pl.col("user") < 1025)["mae"].mean()
    outside = rows.filter(pl.col("user") >= 1025)["mae"].mean()
    assert one.gap == pytest.approx(inside - outside)
    assert (one.value, one.users) == (pytest.approx(inside), 25)
    assert one.low < one.gap < one.high
    page = render_page(summary, {})
    assert "Groups of users" in page
    assert "part a" in page


def test_users_of_no_known_group_are_among_all_others(groups):
    frame = results_frame([("bias", "baseline", 0.8), ("maml", "learner", 0.7)], num_users=60)
    few_unknown = groups.with_columns(pl.when(pl.col("part") == "b").then(None).otherwise(pl.col("part")).alias("part"))
    gaps = [
        [(one.method, one.group, one.gap) for one in summary.groups]
        for summary in (
            summarise(frame, protocol=PROTOCOL, reference_baseline="bias", groups=of)
            for of in (groups, few_unknown, few_unknown.drop_nulls())
        )
    ]
    assert gaps[0] == gaps[1] == gaps[2]


@pytest.mark.parametrize("name", ["k", "kind", "method", "scenario", "mae", "value"])
def test_a_feature_may_be_called_as_a_column_of_the_results(groups, name):
    frame = results_frame([("bias", "baseline", 0.8), ("maml", "learner", 0.7)], num_users=60)
    renamed = groups.rename({"part": name})
    summary = summarise(frame, protocol=PROTOCOL, reference_baseline="bias", groups=renamed)
    assert {(one.feature, one.group) for one in summary.groups} == {(name, "a"), (name, "c")}


def test_features_of_users_with_few_values_make_groups():
    ratings = pl.DataFrame({"user": [1, 2, 3], "item": [1, 1, 2], "target": [3.0, 4.0, 5.0]})
    users = pl.DataFrame(
        {"user": [1, 2, 3], "gender": ["f", "m", None], "city": ["x", "x", "x"], "age": [1.0, 2.0, 3.0]}
    )
    features = (
        Feature("gender", "user", "category"),
        Feature("city", "user", "category"),
        Feature("age", "user", "number"),
    )
    data = interactions_from_frame(ratings, users=users, features=features)
    assert user_groups(data).columns == ["user", "gender"]
