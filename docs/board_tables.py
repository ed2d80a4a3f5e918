"""Tables of docs/results.md beside the boards: the whole catalogue ranked, peers, calibration, and what transfers."""

from collections.abc import Sequence

import numpy as np

from metajax.evaluation.cells import Comparison
from metajax.evaluation.report import Report
from metajax.evaluation.statistics import holm
from metajax.evaluation.summary import Estimate
from metajax.evaluation.wording import number, outcome, probability, shot

Reports = dict[str, Report]

RANKED = {"catalogue_ndcg@10": "nDCG@10", "catalogue_recall@20": "Recall@20"}
SHOTS = (5, 10, None)
WANTED = (0.77, 0.83)
"""Of 80 % intervals, the share that should hold the rating."""
FLAGSHIP = "StudentT (MatrixFactorization)"
PLAIN = "douban_"
"""Reports of plain files."""


def of(report: Report, scenario: str, kind: str | None = None) -> dict[tuple[str, int | None, str], Estimate]:
    """Return (method, support size, metric) -> estimate of one scenario."""
    return {
        (one.method, one.k, one.metric): one
        for one in report.summary.estimates
        if one.scenario == scenario and kind in (None, one.kind)
    }


def catalogue(scenario: str, reports: Reports) -> str:
    """Write nDCG@10 and Recall@20 of every method that was measured at all support sizes, best at 10 ratings first."""
    rows = []
    for name, report in reports.items():
        kind = "baseline" if _holds_baselines(name, report) else "learner"
        found = of(report, scenario, kind)
        for method in dict.fromkeys(one for one, _, _ in found):
            cells = [found.get((method, k, metric)) for k in SHOTS for metric in RANKED]
            if all(cells):
                source = {"baseline": "baseline", "learner": f"`{name}`"}[kind]
                rows.append((method, cells, f"`{name}`" if name.endswith("peers") else source))
    if not rows:
        return ""
    rows.sort(key=lambda row: -row[1][len(RANKED)].value)
    heads = [f"{name}, {shot(k)}" for k in SHOTS for name in RANKED.values()]
    return "\n".join(
        [
            "The whole catalogue ranked (all that the user has not rated; no sampled negatives), by support size:",
            "",
            f"| method | {' | '.join(heads)} | report |",
            "|---|" + "---|" * (len(heads) + 1),
            *(
                f"| {method} | {' | '.join(_with_interval(one) for one in cells)} | {source} |"
                for method, cells, source in rows
            ),
            "",
            *_tested(scenario, reports),
        ]
    )


def _tested(scenario: str, reports: Reports) -> list[str]:
    """Say how the ranking learner did against the best baseline and against every peer, corrected over all of them."""
    tests = [
        one
        for name, report in reports.items()
        for one in report.summary.comparisons
        if one.scenario == scenario and one.metric in RANKED and one.k in SHOTS[:2]
        if name.endswith(("uptake", "autoencoder", "peers"))
        if name.endswith("peers") or one.reference == report.summary.rank_reference.get(scenario)
    ]
    if not tests:
        return []
    corrected = holm(np.array([one.p for one in tests]))
    by_method: dict[str, dict[str, dict[tuple[int | None, str], tuple[Comparison, float]]]] = {}
    for one, p in zip(tests, corrected, strict=True):
        by_method.setdefault(one.method, {}).setdefault(one.reference, {})[one.k, one.metric] = one, float(p)
    heads = [f"{name}, {shot(k)}" for k in SHOTS[:2] for name in RANKED.values()]
    lines = [
        "Learners that are trained to rank less the baseline that ranks best on validation users, and less every peer, "
        "paired over users; p Holm-corrected over this table:",
        "",
        f"| learner | against | {' | '.join(heads)} |",
        "|---|---|" + "---|" * len(heads),
    ]
    for method, references in by_method.items():
        for reference, at in references.items():
            cells = [_difference(*at[k, metric]) if (k, metric) in at else "" for k in SHOTS[:2] for metric in RANKED]
            lines.append(f"| {method} | {reference} | {' | '.join(cells)} |")
    return [*lines, ""]


def _difference(one: Comparison, p: float) -> str:
    said = outcome(one.difference, p, 1)
    return f"{one.difference:+.3f} [{one.low:+.3f}, {one.high:+.3f}], {probability(p)}: {said}"


def calibration(scenario: str, name: str, report: Report, baselines: Report) -> str:
    """Write coverage, PIT, CRPS and log score of the flagship at every support size."""
    ours, theirs = of(report, scenario, "learner"), of(baselines, scenario, "baseline")
    if (FLAGSHIP, None, "coverage_80") not in ours:
        return ""
    heads = (
        "k",
        "80 % intervals cover",
        "tenths of the PIT, least and most",
        "CRPS",
        "one variance",
        "best baseline",
        "log score",
        "one variance",
        "best baseline",
    )
    lines = [
        f"Calibration of `{name}`, {scenario}. Wanted: {WANTED[0]:.0%} to {WANTED[1]:.0%}, and each tenth of the "
        "randomised PIT .100. One variance: the same means with one constant variance, of validation users; the best "
        "baseline is the best of this table's column in this row.",
        "",
        f"| {' | '.join(heads)} |",
        "|---" * len(heads) + "|",
    ]
    missed = []
    for k in report.summary.shots(scenario):
        value = {metric: one.value for (method, size, metric), one in ours.items() if (method, size) == (FLAGSHIP, k)}
        tenths = [value[f"pit_{tenth}"] for tenth in range(1, 11)]
        best = {
            metric: min(
                (one.value for (_, size, what), one in theirs.items() if (size, what) == (k, metric)), default=None
            )
            for metric in ("crps", "nll")
        }
        if not WANTED[0] <= value["coverage_80"] <= WANTED[1]:
            missed.append(f"{shot(k)} ({value['coverage_80']:.1%})")
        cells = [shot(k), f"{value['coverage_80']:.1%}", f"{number(min(tenths))} {number(max(tenths))}"]
        for metric in ("crps", "nll"):
            cells += [number(value[metric]), number(value[f"{metric}_constant"]), number(best[metric])]
        lines.append(f"| {' | '.join(cells)} |")
    said = f"Outside {WANTED[0]:.0%} to {WANTED[1]:.0%} at k = {', '.join(missed)}." if missed else "Inside at every k."
    return "\n".join([*lines, "", said, ""])


def transfer(groups: dict[tuple[str, str, str], Reports]) -> str:
    """Write the flagship as chosen on MovieLens-1M beside the one that was tuned on each data set."""
    lines = []
    for (data, protocol, scenario), reports in groups.items():
        if scenario != "user_cold":
            continue
        for name, report in reports.items():
            if last_part(name) in ("flagship", "flagship_tuned"):
                found = of(report, scenario, "learner")
                cells = [
                    _with_interval(found.get((FLAGSHIP, None, metric))) for metric in ("mae", "rmse", "ndcg@5", "nll")
                ]
                tuning = report.metadata.get("tuning")
                how = f"{tuning['trials']} trials there" if tuning else "the flagship's"
                how = "those of `metajax train FILE`, ids alone" if name.startswith(PLAIN) else how
                if "noise_deviation" not in report.metadata["config"]["learner"]:
                    how += ", and a noise prior of deviation 1"
                lines.append(f"| {data}, `{protocol}` | {how} | {' | '.join(cells)} | `{name}` |")
    if not lines:
        return ""
    return "\n".join(
        [
            "## Does it transfer",
            "",
            "The flagship on cold users at full support, with its own choices and with those of `metajax tune` on the",
            "data set itself. Its own were made on training users of MovieLens-1M; how it treats few ratings",
            "(flagship.md), on held-out users of latest-small, the prior of its noise on those of MovieLens-100K too,",
            "and where training begins if ids are all that is known, on those of Douban's books and music as well.",
            "",
            "| data | choices | MAE | RMSE | nDCG@5 | NLL | report |",
            "|---|---|---|---|---|---|---|",
            *lines,
            "",
        ]
    )


def last_part(name: str) -> str:
    """Return a report's name without its folder."""
    return name.rpartition("/")[2]


def _holds_baselines(name: str, report: Report) -> bool:
    return report.metadata["name"] == "baselines" or last_part(name) == "peers"


def _with_interval(one: Estimate | None) -> str:
    return f"{number(one.value)} [{number(one.low)}, {number(one.high)}]" if one else ""


def rated(scenario: str, reports: Sequence[Report]) -> bool:
    """Say whether any method predicts ratings: where it is known only who took what up, none does."""
    return any(metric == "mae" for report in reports for _, _, metric in of(report, scenario))
