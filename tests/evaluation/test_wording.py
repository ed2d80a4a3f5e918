"""Numbers are said with their protocol, and a loss is called a loss."""

import pytest
from evaluation.report_frames import PROTOCOL

from metajax.evaluation.wording import describe_metric, glance, headline, number, probability, shot, verdict


@pytest.mark.parametrize(
    ("metric", "header"),
    [
        ("mae", "MAE ↓ (stars)"),
        ("rmse", "RMSE ↓ (stars)"),
        ("mse", "MSE ↓ (stars²)"),
        ("ndcg@5", "nDCG@5 ↑ (exponential)"),
        ("precision@7", "precision@7 ↑ (≥ 4 stars)"),
        ("auc", "AUC ↑ (≥ 4 stars)"),
        ("catalogue_ndcg@10", "catalogue nDCG@10 ↑ (≥ 4 stars)"),
        ("catalogue_recall@10", "catalogue recall@10 ↑ (≥ 4 stars)"),
        ("nll", "negative log-likelihood ↓ (nats)"),
        ("nll_constant", "negative log-likelihood, one variance ↓ (nats)"),
        ("rmse_rounded", "RMSE, rounded ↓ (stars)"),
        ("catalogue_novelty@10", "catalogue novelty@10 (bits)"),
        ("gini_of_exposure", "gini of exposure"),
    ],
)
def test_headers_carry_the_protocol(metric, header):
    assert describe_metric(metric, PROTOCOL).header == header


def test_headers_follow_the_protocol():
    protocol = {"gain": "linear", "relevance_threshold": 1.0, "unit": "clicks"}
    assert describe_metric("ndcg@5", protocol).header == "nDCG@5 ↑ (linear)"
    assert describe_metric("map@5", protocol).header == "MAP@5 ↑ (≥ 1 clicks)"
    assert describe_metric("auc", {}).header == "AUC ↑"


@pytest.mark.parametrize(
    ("metric", "difference", "p", "said"),
    [
        ("mae", 0.012, 0.01, "worse than bias by 0.012 stars [0.010, 0.014], p = 0.010"),
        ("mae", -0.012, 0.0001, "better than bias by 0.012 stars [0.010, 0.014], p < 0.001"),
        ("ndcg@5", 0.012, 0.01, "better than bias by 0.012 [0.010, 0.014], p = 0.010"),
        ("ndcg@5", -0.012, 0.01, "worse than bias by 0.012 [0.010, 0.014], p = 0.010"),
        ("mae", 0.012, 0.05, "no difference from bias shown (0.012 stars [0.010, 0.014], p = 0.050)"),
        ("gini", 0.012, 0.01, "differs from bias by 0.012 [0.010, 0.014], p = 0.010"),
    ],
)
def test_verdicts_are_plain(metric, difference, p, said):
    low, high = (0.010, 0.014) if difference > 0 else (-0.014, -0.010)
    assert verdict("bias", describe_metric(metric, PROTOCOL), difference, low, high, p) == said


def test_figures_show_one_error_and_one_ranking_metric():
    assert headline(("rmse", "mae", "auc", "ndcg@5")) == ("mae", "ndcg@5")
    assert headline(("ndcg@5",)) == ("ndcg@5",)
    assert headline(("gini",)) == ("gini",)


def test_a_glance_has_one_metric_of_each_kind():
    every = ("mae", "mse", "rmse", "ndcg@5", "ndcg@10", "mrr@5", "auc", "catalogue_mrr", "catalogue_ndcg@10")
    assert glance(every) == ("mae", "rmse", "ndcg@5", "auc", "catalogue_ndcg@10")
    assert glance(("precision@5", "catalogue_mrr")) == ("precision@5", "catalogue_mrr")
    assert glance(tuple("abcdefg")) == tuple("abcde")


def test_numbers():
    assert [number(value) for value in (None, 0.70449, -1.0, 1234.5)] == ["-", "0.704", "-1.000", "1,234.5"]
    assert [probability(p) for p in (0.0009, 0.25)] == ["p < 0.001", "p = 0.250"]
    assert [shot(k) for k in (0, None)] == ["0", "all"]
