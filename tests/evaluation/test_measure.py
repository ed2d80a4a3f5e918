"""Measuring: what the catalogue regime ranks."""

import numpy as np
import polars as pl
import pytest

from metajax.evaluation.config import EvaluationConfig
from metajax.evaluation.measure import Setting, measure_catalogue
from metajax.evaluation.values import Scale
from metajax.tasks import TaskSet

SCALE = Scale(1.0, 5.0, np.arange(1.0, 6.0))


def test_padding_of_a_short_query_brings_no_rated_item_into_the_ranking():
    """The user rated item 0 outside the query. It scores best, and padding holds it: item 2 must still rank first."""
    one, zero = np.ones((1, 1), np.float32), np.zeros(1, np.int32)
    tasks = TaskSet(
        "toy", zero, zero, zero[None], one, one,
        np.array([[2, 0]], np.int32), np.array([[5.0, 0.0]], np.float32), np.array([[1.0, 0.0]], np.float32),
    )  # fmt: skip
    rated = np.array([[True, False, True, False]])
    setting = Setting(
        pl.Series("user", [7]), np.ones(4), SCALE, {"toy": np.ones(4, bool)}, lambda _: rated, EvaluationConfig()
    )
    values = measure_catalogue(lambda _: np.array([[9.0, 0.1, 0.8, 0.3]]), tasks, setting)
    assert values["catalogue_mrr"][0] == pytest.approx(1)
