"""Runs are compared over the users in common, under one protocol or not at all."""

import io
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from evaluation.report_frames import PROTOCOL, results_frame
from rich.console import Console

from metajax.errors import ConfigError
from metajax.evaluation.board import board
from metajax.evaluation.comparison import compare, render_comparison
from metajax.evaluation.results import PerUser
from metajax.evaluation.statistics import holm
from metajax.evaluation.tables import table_rows


def run(name, error, *, data="toy", protocol=None):
    frame = results_frame((("maml", "learner", error), ("bias", "baseline", 0.75)), num_users=30)
    return PerUser(name, data, PROTOCOL | (protocol or {}), frame)


def full_support(frame, first_user):
    kept = frame.filter(pl.col("user") >= first_user, pl.col("method") == "maml", pl.col("k").is_null())
    return kept.group_by("user").agg(pl.col("mae").mean()).sort("user")["mae"].to_numpy()


def test_difference_is_over_the_users_that_both_have():
    first, second = run("a", 0.7), run("b", 0.9)
    fewer = PerUser("b", "toy", PROTOCOL, second.frame.filter(pl.col("user") >= 1010))
    found = {(one.metric, one.k): one for one in compare([first, fewer])}
    one = found["mae", None]
    mine, theirs = (full_support(each.frame, 1010) for each in (second, first))
    np.testing.assert_allclose(one.difference, np.mean(mine - theirs), rtol=1e-9)
    assert (one.method, one.reference, one.users) == ("b: maml", "a: maml", 20)
    assert one.low < one.difference < one.high
    assert one.p <= one.p_holm < 0.05


def test_the_other_way_round_changes_the_sign_only():
    first, second = run("a", 0.70), run("b", 0.72)
    there, back = ({(one.metric, one.k): one for one in compare(pair)} for pair in ([first, second], [second, first]))
    for key, one in there.items():
        other = back[key]
        np.testing.assert_allclose((one.difference, one.low), (-other.difference, -other.high), rtol=1e-9)
        assert one.p == other.p


def test_runs_are_compared_with_the_first_over_the_users_of_all():
    runs = [run("a", 0.7), run("b", 0.8), run("c", 0.9)]
    fewer = PerUser("c", "toy", PROTOCOL, runs[2].frame.filter(pl.col("user") < 1020))
    found = compare([*runs[:2], fewer])
    assert {(one.method, one.reference, one.users) for one in found} == {
        ("b: maml", "a: maml", 20),
        ("c: maml", "a: maml", 20),
    }


def test_equal_runs_differ_by_nothing():
    same = run("a", 0.7)
    found = compare([same, same])
    assert {(one.method, one.reference) for one in found} == {("a (2): maml", "a (1): maml")}
    assert {(one.difference, one.p, one.p_holm) for one in found} == {(0.0, 1.0, 1.0)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": {"name": "tanp"}}, "differ in their protocol: name is 'user_cold' and 'tanp'"),
        ({"protocol": {"gain": "linear"}}, "differ in their protocol: gain"),
        ({"data": "other"}, "a is on toy and b on other"),
    ],
)
def test_protocols_and_data_are_not_mixed(change, message):
    with pytest.raises(ConfigError, match=message):
        compare([run("a", 0.7), run("b", 0.7, **change)])


def test_one_learner_is_no_comparison():
    with pytest.raises(ConfigError, match="two learners or more"):
        compare([run("a", 0.7)])
    with pytest.raises(ConfigError, match="two learners or more"):
        compare([])


def test_runs_without_users_in_common_are_refused():
    first, second = run("a", 0.7), run("b", 0.7)
    moved = second.frame.with_columns(pl.col("user") + 1000)
    with pytest.raises(ConfigError, match="no scenario with users in common"):
        compare([first, PerUser("b", "toy", PROTOCOL, moved)])
    named = second.frame.with_columns(pl.col("user").cast(str))
    with pytest.raises(ConfigError, match="name users by different types"):
        compare([first, PerUser("b", "toy", PROTOCOL, named)])


def test_the_table_says_which_run_is_worse():
    found = compare([run("a", 0.7), run("b", 0.9)])
    console = Console(width=160, file=io.StringIO())
    for table in render_comparison(found, PROTOCOL):
        console.print(table)
    text = console.file.getvalue()
    assert "difference from a: maml (30 users in common)" in text
    assert "MAE ↓ (stars)" in text
    assert "worse" in text
    assert "better" not in text


def test_three_runs_are_compared_with_the_first_and_corrected_together():
    found = [one for one in compare([run("a", 0.7), run("b", 0.7), run("c", 0.9)]) if one.k is None]
    assert {(one.method, one.reference) for one in found} == {("b: maml", "a: maml"), ("c: maml", "a: maml")}
    np.testing.assert_allclose([one.p_holm for one in found], holm(np.array([one.p for one in found])))


def test_the_board_holds_all_learners_and_one_set_of_baselines_with_one_correction():
    methods = [("bias", "baseline", 0.8), ("maml", "learner", 0.7)]
    runs = [PerUser(name, "ml", PROTOCOL, results_frame(methods, num_users=30)) for name in "ab"]
    summary = board(runs, references={"user_cold": "bias"})
    assert [row.method for row in table_rows(summary, "user_cold", ("mae",), None)] == ["a: maml", "b: maml", "bias"]
    assert {one.method for one in summary.comparisons} == {"a: maml", "b: maml"}
    alone = board(runs[:1], references={"user_cold": "bias"})
    assert all(one.p_holm <= other.p_holm for one, other in zip(alone.comparisons, summary.comparisons, strict=False))
    with pytest.raises(ConfigError, match="needs one evaluated run or more, got none"):
        board([], references={})
    with pytest.raises(ConfigError, match="not comparable"):
        board([runs[0], replace(runs[1], data="other")], references={"user_cold": "bias"})
