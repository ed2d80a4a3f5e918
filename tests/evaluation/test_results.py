"""The results frame: what is refused, how seeds are pooled, and the way to a file and back."""

import polars as pl
import pytest
from evaluation.report_frames import PROTOCOL, results_frame
from polars.testing import assert_frame_equal

from metajax.errors import DataError, StorageError
from metajax.evaluation.results import (
    PerUser,
    check_results,
    metric_columns,
    pool_seeds,
    read_per_user,
    write_per_user,
)

METHODS = (("ridge", "learner", 0.7), ("bias", "baseline", 0.75))


@pytest.fixture(scope="module")
def frame():
    return results_frame(METHODS, num_users=6)


def test_metrics_are_the_columns_that_are_neither_keys_nor_descriptions(frame):
    assert metric_columns(frame) == ("mae", "mse", "ndcg@5")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop("seed"), "has no column 'seed'"),
        (lambda frame: frame.drop("mae", "mse", "ndcg@5"), "has no metric"),
        (lambda frame: frame.with_columns(k=pl.col("k").cast(str)), "'k' of the results frame is String"),
        (lambda frame: frame.with_columns(mae=pl.lit("0.7")), "'mae' of the results frame is String"),
        (lambda frame: frame.with_columns(mae=pl.lit(float("inf"))), "'mae' is infinite"),
        (lambda frame: frame.with_columns(kind=pl.lit("oracle")), "'kind' of the results frame holds"),
        (lambda frame: pl.concat([frame, frame.head(1)]), "twice. Average over draws"),
    ],
)
def test_a_frame_of_another_shape_is_refused(frame, change, message):
    with pytest.raises(DataError, match=message):
        check_results(change(frame))


def test_nan_and_null_are_the_same(frame):
    holed = frame.with_columns(mae=pl.when(pl.col("user") == 1000).then(float("nan")).otherwise("mae"))
    assert check_results(holed)["mae"].null_count() == (frame["user"] == 1000).sum()


def test_pooling_leaves_out_a_seed_without_the_metric(frame):
    first = (pl.col("seed") == 0) & (pl.col("user") == 1000) & pl.col("k").is_null()
    pooled = pool_seeds(check_results(frame.with_columns(mae=pl.when(first).then(None).otherwise("mae"))))
    mine = (pl.col("method") == "ridge") & (pl.col("user") == 1000) & pl.col("k").is_null()
    other = frame.filter(mine, pl.col("seed") == 1)
    assert pooled.filter(mine)["mae"].to_list() == other["mae"].to_list()
    assert pooled.height == 2 * 3 * 6


@pytest.mark.parametrize("users", [pl.Int64, pl.String])
def test_a_written_frame_is_read_back(frame, tmp_path, users):
    frame = frame.with_columns(pl.col("user").cast(users))
    values = PerUser("run", "toy", PROTOCOL, frame)
    write_per_user(tmp_path / "per_user.parquet", values)
    again = read_per_user(tmp_path / "per_user.parquet")
    assert (again.name, again.data, again.protocol) == ("run", "toy", PROTOCOL)
    assert_frame_equal(again.frame, check_results(values.frame))
    assert [path.name for path in tmp_path.iterdir()] == ["per_user.parquet"]


def test_a_file_that_does_not_hold_per_user_values_is_refused(frame, tmp_path):
    path = tmp_path / "per_user.parquet"
    with pytest.raises(StorageError, match="does not exist"):
        read_per_user(path)
    path.write_bytes(b"not parquet at all")
    with pytest.raises(StorageError, match="cannot be read"):
        read_per_user(path)
    frame.write_parquet(path)
    with pytest.raises(StorageError, match="does not hold per-user values"):
        read_per_user(path)


def test_a_file_with_a_damaged_frame_is_refused(frame, tmp_path):
    path = tmp_path / "per_user.parquet"
    write_per_user(path, PerUser("run", "toy", PROTOCOL, frame))
    about = pl.read_parquet_metadata(path)["metajax"]
    pl.read_parquet(path).drop("user").write_parquet(path, metadata={"metajax": about})
    with pytest.raises(StorageError, match=r"is not what metajax wrote.*'user'"):
        read_per_user(path)
