"""Write the results tables of README.md from the kept reports: python docs/results_table.py (or `make docs`).

Every number comes from experiments/results/**/*.json; nothing is typed in.
"""

from collections import defaultdict
from pathlib import Path

from metajax.evaluation.report import Report, read_report
from metajax.evaluation.summary import Estimate
from metajax.evaluation.wording import number, outcome

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- results -->", "<!-- /results -->"
METRICS = {"mae": "MAE", "rmse": "RMSE", "ndcg@5": "nDCG@5"}


def tables(reports: dict[str, Report]) -> str:
    """Write one Markdown table a protocol, data set and scenario: learners of all reports, baselines of the first."""
    groups: dict[tuple[str, str, str], dict[str, Report]] = defaultdict(dict)
    for name, report in reports.items():
        for scenario in report.summary.scenarios:
            key = (report.metadata["data"]["name"], str(report.summary.protocol["name"]), scenario)
            groups[key][name] = report
    return "\n".join(_table(*key, group) for key, group in sorted(groups.items()))


def _table(data: str, protocol: str, scenario: str, reports: dict[str, Report]) -> str:
    first = next(iter(reports.values()))
    reference = first.summary.reference_baseline[scenario]
    rows = []
    for name, report in reports.items():
        learners = {one.method for one in _full(report, scenario) if one.kind == "learner"}
        rows += [
            (method, [*_cells(report, scenario, method), _verdict(report, scenario, method)], f"`{name}`")
            for method in sorted(learners)
        ]
    baselines = dict.fromkeys(one.method for one in _full(first, scenario) if one.kind == "baseline")
    rows += [(method, [*_cells(first, scenario, method), ""], "baseline") for method in baselines]
    rows.sort(key=lambda row: row[1][0] or "9")
    users = next(one.users for one in _full(first, scenario))
    seeds = len(first.summary.seeds)
    lines = [
        f"**{data}, protocol `{protocol}`, {scenario}**: {users} users, {first.summary.protocol['draws']} draws, "
        f"{seeds} training seed{'s' * (seeds > 1)}, full support; 95 % intervals over users. "
        f"Reference baseline (chosen on validation users): {reference}.",
        "",
        "| method | " + " | ".join(METRICS.values()) + " | MAE against the reference | report |",
        "|---|" + "---|" * (len(METRICS) + 2),
        *(f"| {method} | {' | '.join(cells)} | {source} |" for method, cells, source in rows),
        "",
    ]
    return "\n".join(lines)


def _full(report: Report, scenario: str) -> list[Estimate]:
    return [one for one in report.summary.estimates if one.scenario == scenario and one.k is None]


def _cells(report: Report, scenario: str, method: str) -> list[str]:
    found = {one.metric: one for one in _full(report, scenario) if one.method == method}
    return [
        f"{found[name].value:.3f} [{found[name].low:.3f}, {found[name].high:.3f}]" if name in found else ""
        for name in METRICS
    ]


def _verdict(report: Report, scenario: str, method: str) -> str:
    """Say whether a learner won or lost, by the corrected paired test of its report."""
    for one in report.summary.comparisons:
        if (one.scenario, one.method, one.metric, one.k) == (scenario, method, "mae", None):
            said = outcome(one.difference, one.p_holm, -1)
            return f"{said} by {number(abs(one.difference))}" if said in ("better", "worse") else said
    return ""


def main() -> None:
    """Fill README.md between the markers."""
    folder = ROOT / "experiments" / "results"
    reports = {
        str(path.relative_to(folder).with_suffix("")): read_report(path) for path in sorted(folder.rglob("*.json"))
    }
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    readme.write_text(f"{before}{BEGIN}\n\n{tables(reports)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
