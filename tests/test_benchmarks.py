"""The benchmark: its arithmetic, what it refuses, what it skips, and that it starts."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import __main__ as benchmark
from benchmarks import machine, outer_rows, own_rows, person_rows, report, workload
from benchmarks.agreement import DisagreementError, Values, check
from benchmarks.clock import Spread, interleave, ratio, seconds, spread
from benchmarks.rows import Group, Row, against_fastest, fastest


def test_calls_take_turns():
    order = []
    calls = {name: (lambda name=name: order.append(name)) for name in "abc"}
    timings = interleave(calls, 3, at_least=0.0)
    measured = order[3:]  # once to compile, and then twice in a row: before the clock, and by it
    assert measured[::2] == measured[1::2]
    rounds = ["".join(measured[first : first + 6 : 2]) for first in range(0, 18, 6)]
    assert [sorted(one) for one in rounds] == [["a", "b", "c"]] * 3
    assert len(set(rounds)) > 1, "the order is drawn anew"
    assert {name: each.shape for name, each in timings.items()} == dict.fromkeys("abc", (3,))


def test_a_short_call_is_repeated():
    calls = []
    taken = seconds(lambda: calls.append(None), 0.005)
    assert len(calls) > 10
    assert taken * len(calls) >= 0.005


def test_ratios_are_of_pairs():
    """A machine that is ten times slower in one round changes no ratio."""
    fast = np.array([1.0, 10.0, 2.0])
    assert ratio(np.array([3.0, 30.0, 6.0]), fast) == Spread(3.0, 3.0, 3.0)
    assert spread(np.array([4.0, 1.0, 2.0, 3.0, 5.0])) == Spread(3.0, 2.0, 4.0)


def test_the_fastest_peer_is_the_one_held_against():
    timings = {"ours": np.array([1.0, 1.0]), "slow": np.array([9.0, 9.0]), "fast": np.array([2.0, 4.0])}
    (row,) = against_fastest(timings, "a row", 3.0, "ours", ["slow", "fast", "skipped"])
    assert (row.against, row.value.median, row.passed) == ("fast", 3.0, True)
    assert against_fastest(timings, "a row", 3.0, "ours", ["skipped"]) == []
    assert fastest(timings, []) is None


@pytest.mark.parametrize(("at_most", "passed"), [(False, False), (True, True)])
def test_a_row_falls_short_on_the_right_side(at_most, passed):
    row = Row("a row", "x", 2.0, Spread(1.5, 1.0, 3.0), "ours", "theirs", at_most)
    assert row.passed is passed
    assert row.document()["passed"] is passed


AGREED = Values(1.0, {"head/kernel": np.array([1.0, -2.0]), "head/bias": np.array([1e-9])})


def test_a_peer_within_rounding_is_accepted():
    check("peer", AGREED, Values(1.0 + 5e-6, {"head/kernel": np.array([1.0, -2.0001]), "head/bias": np.array([0.0])}))


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        (AGREED._replace(loss=1.0001), r"peer: its loss is 1\.0001.*, ours 1\.0"),
        (AGREED._replace(loss=float("nan")), "peer: its loss is nan"),
        (AGREED._replace(gradient={"head/kernel": np.ones(2)}), "other parameters. Not of both: head/bias"),
        (
            AGREED._replace(gradient=AGREED.gradient | {"head/kernel": np.array([1.0, -2.001])}),
            "gradient of head/kernel is off by 1.00e-03; wanted within 2.00e-04",
        ),
        (AGREED._replace(gradient=AGREED.gradient | {"head/bias": np.array([np.nan])}), "head/bias is off by nan"),
        (AGREED._replace(gradient=AGREED.gradient | {"head/bias": np.zeros(2)}), r"head/bias is \(2,\), ours \(1,\)"),
    ],
)
def test_a_peer_that_is_off_is_refused(theirs, message):
    with pytest.raises(DisagreementError, match=message):
        check("peer", AGREED, theirs)


def test_arithmetic_counts_every_step_of_a_scan():
    square = jnp.ones((16, 16), jnp.float32)

    def steps(x):
        return jax.lax.scan(lambda carry, _: (carry @ x, None), x, length=5)[0]

    once, five = machine.arithmetic(lambda x: x @ x, square), machine.arithmetic(steps, square)
    assert once == pytest.approx(2 * 16**3, rel=0.05)
    assert five == pytest.approx(5 * once, rel=0.05)


@pytest.fixture
def small(monkeypatch, as_users_run):
    """A synthetic data set, though there may be a real one, and few tasks."""
    monkeypatch.delenv("METAJAX_DATA", raising=False)
    monkeypatch.setattr(outer_rows, "TASKS", 4)
    workload._read.cache_clear()
    yield
    workload._read.cache_clear()


@pytest.mark.slow
def test_padding_changes_no_loss(small):
    made = workload.load("melu", inner_steps=1)
    buckets = workload.draw_tasks(made, 4)
    meta_params = made.learner.init(jax.random.key(0))
    assert sum(task.support.mask.shape[0] for task in buckets) == 4
    padded = workload.pad(buckets)
    assert padded.support.mask.shape == (4, 90)
    mean = jax.jit(outer_rows.ours.meta_loss(made.learner))
    assert mean(meta_params, [padded]) == pytest.approx(float(mean(meta_params, buckets)), abs=1e-6)


@pytest.mark.slow
def test_without_torch_its_peers_are_skipped_with_a_reason(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in ("benchmarks.torch_model", "benchmarks.torch_peers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert list(person_rows.ways()) == [person_rows.OURS]
    assert "pip install torch" in " ".join(person_rows.prepare(9).skipped.values())
    group = outer_rows.prepare(1)
    assert all(name.startswith("metajax") for name in group.calls)
    assert "pip install torch" in " ".join(group.skipped.values())
    timings = dict.fromkeys([*group.calls, "peak: jax matrix product"], np.ones(9))
    assert all("torch" not in row.against for row in group.rows(timings))


def test_help_says_what_is_written(capsys):
    with pytest.raises(SystemExit) as stopped:
        benchmark.main(["--help"])
    assert stopped.value.code == 0
    assert "speed.json" in capsys.readouterr().out


def test_fewer_than_nine_rounds_are_refused(capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["--rounds", "8"])
    assert "must be 9 or more, got 8" in capsys.readouterr().err


def test_the_page_has_the_rows_that_were_measured(tmp_path):
    timings = {"peak: jax matrix product": np.ones(9), "peak: numpy copy": np.ones(9), "metajax, x": np.ones(9)}
    row = Row("a row", "x", 2.0, Spread(1.5, 1.25, 1.75), "metajax, x", "theirs", fraction=0.25)
    group = Group({}, lambda timings: [row], {"torch": "is not installed"}, {"metajax, x": 1e9})
    made = report.document([row], timings, [group], rounds=9, load=0.5, source="synthetic")
    page = report.fill(f"before\n{report.BEGIN}\nold\n{report.END}\nafter", made)
    assert "| a row | at least 2 x | 1.5 x [1.25, 1.75] | short | metajax, x | theirs | 25 % |" in page
    assert "Not measured: torch: is not installed" in page
    assert page.startswith("before")
    assert page.endswith("after")
    assert "old" not in page
    report.write(made, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"speed.json", "speed.png"}


def test_the_page_shows_the_kept_results():
    """The table of docs/performance.md is that of speed.json: nothing is typed in."""
    if not (report.RESULTS / "speed.json").is_file():
        pytest.skip("no results are kept yet: make bench")
    page = report.PAGE.read_text(encoding="utf-8")
    assert report.fill(page, report.read_json(report.RESULTS / "speed.json")) == page


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 5])
def test_every_peer_of_torch_computes_what_we_compute(small, steps):
    pytest.importorskip("torch")
    group = outer_rows.prepare(steps)
    assert len(group.calls) == {1: 4 + 12, 5: 4 + 6}[steps]


@pytest.mark.slow
def test_torch_adapts_a_person_as_we_do(small):
    pytest.importorskip("torch")
    assert len(person_rows.ways()) == 7


@pytest.mark.slow
def test_a_second_process_is_measured(small):
    (row,) = own_rows.second_process(1).rows({})
    assert 0 < row.value.median < 60
