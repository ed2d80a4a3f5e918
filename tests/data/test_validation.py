import math
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metajax.data.validation import Quarantine, as_ids, require_columns, validate
from metajax.errors import DataError

COLUMNS = {"user": "user", "item": "item", "target": "target"}
TIMED = COLUMNS | {"timestamp": "timestamp"}

rows = st.fixed_dictionaries(
    {
        "user": st.none() | st.integers(1, 4),
        "item": st.none() | st.sampled_from("abc"),
        "target": st.none() | st.floats(allow_nan=True, allow_infinity=True) | st.floats(1, 5),
        "timestamp": st.none() | st.integers(0, 5),
    }
)
frames = st.lists(rows, min_size=1, max_size=30).map(
    lambda some: pl.DataFrame(some, {"user": pl.Int64, "item": pl.String, "target": pl.Float64, "timestamp": pl.Int64})
)


def is_bad(row: dict) -> bool:
    user, item, target, timestamp = row["user"], row["item"], row["target"], row["timestamp"]
    return None in (user, item, target, timestamp) or not math.isfinite(target) or not 1 <= target <= 5


@given(frames)
def test_a_row_is_kept_exactly_if_it_is_sound_and_the_last_of_its_pair(frame):
    last = {}
    for row in frame.to_dicts():
        pair = row["user"], row["item"]
        if not is_bad(row) and (pair not in last or row["timestamp"] >= last[pair]["timestamp"]):
            last[pair] = row
    clean, quarantine = validate(frame, TIMED, scale=(1, 5))
    kept = {(row["user"], row["item"]): row for row in clean.to_dicts()}
    assert kept.keys() == last.keys()
    for pair, row in kept.items():
        assert row["timestamp"] == last[pair]["timestamp"]
        assert row["target"] == pytest.approx(last[pair]["target"], rel=1e-6)
    assert clean.height + quarantine.rows.height == frame.height
    assert sum(quarantine.counts().values()) == quarantine.rows.height


@given(frames)
def test_what_was_accepted_is_accepted_again(frame):
    clean, _ = validate(frame, TIMED, scale=(1, 5))
    if not clean.is_empty():
        again, quarantine = validate(clean, TIMED, scale=(1, 5))
        assert again.equals(clean)
        assert quarantine.counts() == {}


def test_each_reason_is_counted_and_the_row_is_kept_as_it_came():
    frame = pl.DataFrame(
        {
            "who": ["a", None, "a", "a", "a", "a", "a", "a", "b", "b", "c"],
            "what": ["x", "x", None, "y", "y", "y", "y", "y", "x", "x", "x"],
            "stars": ["4", "4", "4", "good", "nan", "inf", "1e300", "6", "2", "3", "5"],
            "when": ["1", "1", "1", "1", "1", "1", "1", "1", "9", "8", "noon"],
        }
    )
    columns = {"user": "who", "item": "what", "target": "stars", "timestamp": "when"}
    clean, quarantine = validate(frame, columns, scale=(1, 5))
    assert clean.to_dict(as_series=False) == {
        "user": ["a", "b"],
        "item": ["x", "x"],
        "target": [4.0, 2.0],
        "timestamp": [1, 9],
    }
    assert quarantine.counts() == {
        "no user id": 1,
        "no item id": 1,
        "target is not a number": 1,
        "target is NaN": 1,
        "target is infinite": 2,
        "target outside 1 to 5": 1,
        "duplicate pair": 1,
        "timestamp is not a time": 1,
    }
    by_reason = {row["reason"]: row["stars"] for row in quarantine.rows.to_dicts()}
    assert by_reason["target is not a number"] == "good"
    assert by_reason["duplicate pair"] == "3"


def test_without_a_time_the_last_row_of_a_pair_is_kept():
    frame = pl.DataFrame({"user": [1, 1, 2, 1], "item": [7, 7, 7, 7], "target": [1, 2, 3, 4]})
    clean, quarantine = validate(frame, COLUMNS)
    assert clean.rows() == [(2, 7, 3.0), (1, 7, 4.0)]
    assert quarantine.rows["target"].to_list() == ["1", "2"]


def test_a_bad_later_row_does_not_supersede_a_good_one():
    frame = pl.DataFrame({"user": [1, 1], "item": [7, 7], "target": [4.0, math.nan]})
    clean, quarantine = validate(frame, COLUMNS)
    assert clean["target"].to_list() == [4.0]
    assert quarantine.counts() == {"target is NaN": 1}


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        (["2020-01-01", "1970-01-02"], [1577836800, 86400]),
        (["2020-01-01T00:00:01", "soon"], [1577836801, None]),
        (["12.5", "3"], [12, 3]),
        ([1.0, math.nan], [1, None]),
        (["soon", "later"], [None, None]),
        (pl.Series([0, 1], dtype=pl.Date), [0, 86400]),
        (pl.Series([0, 5_000_000], dtype=pl.Datetime("us")), [0, 5]),
        (pl.Series([0, 5_000], dtype=pl.Datetime("ms", "Europe/Paris")), [0, 5]),
        (pl.Series([0, 1], dtype=pl.Time), [None, None]),
    ],
    ids=str,
)
def test_times_become_seconds(times, seconds):
    frame = pl.DataFrame({"user": [1, 2], "item": [1, 1], "target": [1, 1], "timestamp": times})
    clean, quarantine = validate(frame, TIMED)
    assert clean["timestamp"].to_list() == [one for one in seconds if one is not None]
    assert quarantine.rows.height == seconds.count(None)


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (["4", " 5", None], [4.0]),
        (pl.Series(["4", "x", "5"], dtype=pl.Categorical), [4.0, 5.0]),
        ([True, False, None], [1.0, 0.0]),
        ([[4], [5], [6]], []),
        (pl.Series([1, 2, 3], dtype=pl.Date), []),
        ([None, None, None], []),
    ],
    ids=str,
)
def test_targets_are_cast_where_they_are_numbers(target, wanted):
    clean, quarantine = validate(pl.DataFrame({"user": [1, 2, 3], "item": [1, 1, 1], "target": target}), COLUMNS)
    assert clean["target"].to_list() == wanted
    assert clean["target"].dtype == pl.Float32
    assert quarantine.counts() == ({"target is not a number": 3 - len(wanted)} if len(wanted) < 3 else {})


@pytest.mark.parametrize(
    ("ids", "wanted"),
    [
        (pl.Series([1, None], dtype=pl.UInt8), [1, None]),
        ([1.0, math.nan], [1, None]),
        ([1.5, 2.0], ["1.5", "2.0"]),
        ([math.inf, 2.0], ["inf", "2.0"]),
        (["007", None], ["007", None]),
        (pl.Series(["x", "y"], dtype=pl.Categorical), ["x", "y"]),
        (pl.Series([5, 2**63], dtype=pl.UInt64), ["5", str(2**63)]),
        ([True, False], ["true", "false"]),
    ],
    ids=str,
)
def test_ids_are_integers_or_text(ids, wanted):
    assert as_ids(pl.Series("user", ids)).to_list() == wanted


@pytest.mark.parametrize("ids", [[[1], [2]], [b"a", b"b"], [{"a": 1}, {"a": 2}]], ids=str)
def test_ids_of_other_types_are_refused(ids):
    with pytest.raises(DataError, match=r"Column 'user' holds .*, but an id is a number or a text"):
        as_ids(pl.Series("user", ids))


def test_a_column_that_is_missing_is_named_with_the_ones_there_are():
    frame = pl.DataFrame({"userId": [1], "movieId": [1]})
    with pytest.raises(DataError, match=r"no column 'user_id'.*\['userId', 'movieId'\]\. Did you mean 'userId'\?"):
        require_columns(frame, ["user_id"])
    with pytest.raises(DataError, match=r"no column 'stars'; the columns are \['userId', 'movieId'\]\.$"):
        require_columns(frame, ["stars"])


def test_a_frame_without_rows_is_refused():
    with pytest.raises(DataError, match="The frame has no rows"):
        validate(pl.DataFrame(schema={"user": pl.Int64, "item": pl.Int64, "target": pl.Float64}), COLUMNS)


def test_quarantine_is_written_whole_with_a_reason_each(tmp_path):
    frame = pl.DataFrame({"user": [1, 2], "item": [1, 1], "target": [None, 1.0], "tags": [["a", "b"], []]})
    _, quarantine = validate(frame, COLUMNS)
    quarantine.write(tmp_path / "out" / "rejected.csv")
    written = pl.read_csv(tmp_path / "out" / "rejected.csv")
    assert written.to_dicts() == [
        {"user": 1, "item": 1, "target": None, "tags": "['a', 'b']", "reason": "target is not a number"}
    ]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["rejected.csv"]


def test_refusing_tells_the_counts():
    Quarantine().refuse()
    _, quarantine = validate(pl.DataFrame({"user": [1, None], "item": [1, 1], "target": [1, 1]}), COLUMNS)
    with pytest.raises(DataError, match=r"1 rows were rejected: \{'no user id': 1\}.*Mend them, or leave out `strict`"):
        quarantine.refuse()


def test_the_end_of_a_scale_that_float32_rounds_up_is_on_it():
    frame = pl.DataFrame({"user": [1, 2], "item": [1, 1], "target": pl.Series([0.6, 0.61], dtype=pl.Float32)})
    clean, quarantine = validate(frame, COLUMNS, scale=(0.0, 0.6))
    assert clean["user"].to_list() == [1]
    assert quarantine.counts() == {"target outside 0 to 0.6": 1}


def test_a_row_with_a_duration_can_be_set_apart():
    frame = pl.DataFrame({"user": [None, 1], "item": [1, 1], "target": [1.0, 2.0], "watched": [timedelta(hours=2)] * 2})
    _, quarantine = validate(frame, COLUMNS)
    assert quarantine.rows["watched"].to_list() == ["2:00:00"]
