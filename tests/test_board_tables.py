"""Tables of docs/results.md: what is said of calibration, of lists, and of peers."""

from pathlib import Path

import pytest

from metajax.evaluation.cells import Comparison
from metajax.evaluation.report import Report
from metajax.evaluation.summary import Estimate, Summary


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "docs"))
    import board_tables

    return board_tables


def report(name, method, kind, values, comparisons=()):
    """Make a report of (metric, support size) -> value."""
    found = tuple(
        Estimate("user_cold", method, kind, metric, k, value, value - 0.01, value + 0.01, 9, (), None)
        for (metric, k), value in values.items()
    )
    ranked = {"user_cold": "EASE"}
    summary = Summary({"name": "toy"}, {"user_cold": "base"}, found, tuple(comparisons), (), rank_reference=ranked)
    return Report(summary, {"name": name})


def lists(first):
    """Six figures, each a hundredth above the one before."""
    metrics = ("catalogue_ndcg@10", "catalogue_recall@20")
    keys = [(metric, k) for k in (5, 10, None) for metric in metrics]
    return {key: first + 0.01 * place for place, key in enumerate(keys)}


def against(reference, k, difference, p, method="ours"):
    return Comparison("user_cold", method, reference, "catalogue_ndcg@10", k, difference, -1.0, 1.0, p, p, 9)


def test_lists_stand_in_their_order_and_tests_are_corrected_over_baselines_and_peers(tables):
    """Of four tests three of .02 become .08, and every learner has rows of its own; a recommender of ratings none."""
    of_baseline = [against("EASE", k, 0.1, 0.02) for k in (5, 10)] + [against("item-kNN", 5, 0.5, 0.001)]
    of_peer = [against("implicit ALS", 5, -0.1, 0.6)]
    reports = {
        "toy/autoencoder": report("toy/autoencoder", "ours", "learner", lists(0.2), of_baseline),
        "toy/uptake": report("toy/uptake", "other", "learner", lists(0.15), [against("EASE", 5, 0.3, 0.02, "other")]),
        "toy/baselines": report("baselines", "EASE", "baseline", lists(0.1)),
        "toy/peers": report("toy/peers", "implicit ALS", "baseline", lists(0.3), of_peer),
        "toy/ridge": report("toy/ridge", "ridge", "learner", {("catalogue_ndcg@10", None): 0.5}),
    }
    text = tables.catalogue("user_cold", reports)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows[1:5]] == ["| implicit ALS", "| ours", "| other", "| EASE"]
    assert rows[1].endswith("| `toy/peers` |")
    assert rows[4].endswith("| baseline |")
    assert "ridge" not in text  # it was not measured at 5 and 10
    (ease,) = [row for row in rows[5:] if row.startswith("| ours | EASE |")]
    assert ease.count("p = 0.080: no difference shown") == 2
    (other,) = [row for row in rows[5:] if row.startswith("| other | EASE |")]
    assert other.count("+0.300") == 1
    assert "better" not in text
    assert "item-kNN" not in text


def test_it_is_said_where_intervals_cover_too_little_or_too_much(tables):
    def calibrated(k, covers):
        tenths = {(f"pit_{tenth}", k): 0.09 + 0.002 * tenth for tenth in range(1, 11)}
        values = {"coverage_80": covers, "crps": 0.5, "crps_constant": 0.51, "nll": 1.3, "nll_constant": 1.4}
        return {(metric, k): value for metric, value in values.items()} | tenths

    baselines = report("baselines", "base", "baseline", {("crps", None): 0.52, ("nll", None): 1.5})
    ours = {k: calibrated(k, covers) for k, covers in ((0, 0.76), (5, 0.80), (None, 0.84))}
    every = {key: value for values in ours.values() for key, value in values.items()}
    mine = report("toy/flagship", tables.FLAGSHIP, "learner", every)
    text = tables.calibration("user_cold", "toy/flagship", mine, baselines)
    assert "| all | 84.0% | 0.092 0.110 | 0.500 | 0.510 | 0.520 | 1.300 | 1.400 | 1.500 |" in text
    assert "Outside 77% to 83% at k = 0 (76.0%), all (84.0%)." in text
    inside = report("toy/flagship", tables.FLAGSHIP, "learner", calibrated(None, 0.8))
    assert "Inside at every k." in tables.calibration("user_cold", "toy/flagship", inside, baselines)


def test_what_was_tuned_stands_beside_what_was_not(tables):
    values = {(metric, None): 0.7 for metric in ("mae", "rmse", "ndcg@5", "nll")}
    plain, tuned = (
        report(f"toy/{name}", tables.FLAGSHIP, "learner", values) for name in ("flagship", "flagship_tuned")
    )
    plain.metadata["config"] = {"learner": {"noise_deviation": 0.1}}
    tuned.metadata.update(tuning={"trials": 6}, config={"learner": {}})
    text = tables.transfer({("toy", "user_cold", "user_cold"): {"toy/flagship": plain, "toy/flagship_tuned": tuned}})
    assert "| toy, `user_cold` | the flagship's | 0.700" in text
    assert "| toy, `user_cold` | 6 trials there, and a noise prior of deviation 1 | 0.700" in text
    assert tables.transfer({}) == ""
