"""Write the results of docs/results.md, docs/learners.md and README.md: python docs/results_table.py (or `make docs`).

Every number comes from the kept reports, experiments/results/**/*.json, but for what others published, which stands in
docs/published.json with its source. A table is of one data set, protocol and scenario: the learners of all its reports,
and the baselines of its folder. Tests against the reference baseline are Holm-corrected over the learners and metrics
of a table.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from board_tables import calibration, catalogue, last_part, rated, transfer

from metajax.evaluation.report import Report, read_report
from metajax.evaluation.statistics import holm
from metajax.evaluation.summary import Estimate
from metajax.evaluation.wording import describe_metric, number, outcome, shot
from metajax.experiment.codec import decode

ROOT = Path(__file__).parents[1]
METRICS = {"mae": "MAE", "rmse": "RMSE", "ndcg@5": "nDCG@5", "nll": "NLL", "catalogue_ndcg@10": "catalogue nDCG@10"}
OF_PROTOCOL = {
    "tanp": {"mae": "MAE", "precision@5": "P@5", "ndcg@5": "nDCG@5", "map@5": "MAP@5", "nll": "NLL"},
    "warm_up": {"mae": "MAE", "rmse": "RMSE", "auc": "AUC"},
}
"""Columns of protocols whose papers report others."""
NO_REPORTS = ("speed.json", "large_log.json", "questions.json", "serving.json", "own_data.json")
"""Kept results of another kind, which have pages of their own."""
ON_README = (("ml-latest-small", "user_cold", "user_cold"), ("ml-1m", "melu", "user_cold"))

Key = tuple[str, str, str]
Reports = dict[str, Report]


def boards(reports: Reports) -> dict[Key, Reports]:
    """Group reports by data set, protocol and scenario."""
    groups: dict[Key, Reports] = defaultdict(dict)
    for name, report in reports.items():
        for scenario in report.summary.scenarios:
            groups[report.metadata["data"]["name"], str(report.summary.protocol["name"]), scenario][name] = report
    for key, group in groups.items():
        splits = {decode(config["split"]) for one in group.values() if (config := one.metadata.get("config"))}
        if len(splits) > 1:
            raise ValueError(f"The reports of {', '.join(key)} differ in their split: {', '.join(group)}.")
    return dict(sorted(groups.items()))


def table(key: Key, reports: Reports) -> str:
    """Write one Markdown table at full support."""
    data, protocol, scenario = key
    metrics = OF_PROTOCOL.get(protocol, METRICS)
    source = baselines_of(reports)
    found = _verdicts(scenario, reports, metrics)
    rows = [
        (
            method,
            [*_cells(report, scenario, method, metrics), found.get((name, method), "")],
            f"`{name}`{_tuning(report)}",
        )
        for name, report in reports.items()
        for method in _methods(report, scenario, "learner")
    ]
    rows += [
        (method, [*_cells(source, scenario, method, metrics), ""], "baseline") for method in _methods(source, scenario)
    ]
    rows += [
        (method, [*_cells(report, scenario, method, metrics), ""], f"`{name}`")
        for name, report in reports.items()
        if last_part(name) == "peers"
        for method in _methods(report, scenario)
    ]
    rows += _published(key, metrics)
    rows.sort(key=lambda row: row[1][0].replace("-", "") or "9")
    reference = source.summary.reference_baseline[scenario]
    users = max(one.users for one in _full(source, scenario))
    lines = [
        f"**{data}, protocol `{protocol}`, {scenario}**: {users} users, {source.summary.protocol['draws']} draws, full "
        f"support; 95 % intervals over users. Reference baseline, chosen on validation users: {reference}.",
        "",
        "| method | " + " | ".join(metrics.values()) + " | MAE against the reference | report |",
        "|---|" + "---|" * (len(metrics) + 2),
        *(f"| {method} | {' | '.join(cells)} | {source} |" for method, cells, source in rows),
        "",
    ]
    return "\n".join(lines)


def curve(key: Key, reports: Reports, metric: str) -> str:
    """Write one metric at every support size."""
    scenario = key[2]
    source = baselines_of(reports)
    shots = source.summary.shots(scenario)
    lines = [(report, method) for report in reports.values() for method in _methods(report, scenario, "learner")]
    lines += [(source, method) for method in _methods(source, scenario)]
    rows = []
    for report, method in lines:
        values = {one.k: one.value for one in report.summary.estimates if _is(one, scenario, method, metric)}
        if values:
            rows.append((method, [number(values.get(k)) for k in shots]))
    rows.sort(key=lambda row: row[1][-1], reverse=describe_metric(metric, source.summary.protocol).direction > 0)
    return "\n".join(
        [
            f"{describe_metric(metric, source.summary.protocol).header} by support size:",
            "",
            "| method | " + " | ".join(shot(k) for k in shots) + " |",
            "|---|" + "---|" * len(shots),
            *(f"| {method} | {' | '.join(cells)} |" for method, cells in rows),
            "",
        ]
    )


def learner_rows(found: dict[Key, Reports]) -> str:
    """Write one row a learner: MovieLens-1M, protocol melu, MAE in its scenarios and more of cold users."""
    key = ("ml-1m", "melu", "user_cold")
    names = {"user_cold": ("mae", "rmse", "ndcg@5", "nll"), "item_cold": ("mae",), "both_cold": ("mae",)}
    columns = [(scenario, metric) for scenario, metrics in names.items() for metric in metrics]
    heads = [f"{METRICS[metric]}, {scenario}" for scenario, metric in columns]
    rows = []
    for name, report in found.get(key, {}).items():
        values = {
            (one.scenario, one.metric): one.value
            for one in report.summary.estimates
            if one.kind == "learner" and one.k is None
        }
        if values:
            rows.append((name, [number(values.get(column)) for column in columns]))
    rows.sort(key=lambda row: row[1][0].replace("-", "") or "9")
    return "\n".join(
        [
            "| report | " + " | ".join(heads) + " |",
            "|---|" + "---|" * len(heads),
            *(f"| `{name}` | {' | '.join(cells)} |" for name, cells in rows),
            "",
        ]
    )


def sinusoids() -> str:
    """Write the table of the sinusoid suite, of the seeds that experiments/sinusoid/results.json holds."""
    path = ROOT / "experiments" / "sinusoid" / "results.json"
    if not path.is_file():
        return ""
    lines = [
        "## Sinusoids",
        "",
        "MSE after adapting, on 100 points and 600 new tasks; mean of seeds, and each. Command: `make bench-sinusoid`.",
        "",
        "![fits before and after adapting](../experiments/sinusoid/fits.png)",
        "",
        "| learner | support points | MSE | seeds | published | outer steps | commit |",
        "|---|---|---|---|---|---|---|",
    ]
    published = {one["method"]: one for one in _read_published() if one["data"] == "sinusoid"}
    for name, by_shots in json.loads(path.read_text(encoding="utf-8")).items():
        for shots, seeds in sorted(by_shots.items(), key=lambda one: -int(one[0])):
            each = [one["mse"] for one in seeds.values()]
            first = next(iter(seeds.values()))
            shown = " ".join(number(one) for one in each)
            others = published.get(name, {"values": {}})["values"].get(shots)
            theirs = f"[{number(others['mse'])}]({published[name]['source']})" if others else ""
            cells = (
                name,
                shots,
                number(sum(each) / len(each)),
                shown,
                theirs,
                f"{first['outer_steps']:,}",
                first["commit"],
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def baselines_of(reports: Reports) -> Report:
    """Return the report that holds the baselines of a table."""
    return next(
        (report for report in reports.values() if report.metadata["name"] == "baselines"), next(iter(reports.values()))
    )


def _methods(report: Report, scenario: str, kind: str = "baseline") -> list[str]:
    return list(dict.fromkeys(one.method for one in _full(report, scenario) if one.kind == kind))


def _full(report: Report, scenario: str) -> list[Estimate]:
    return [one for one in report.summary.estimates if one.scenario == scenario and one.k is None]


def _is(one: Estimate, scenario: str, method: str, metric: str) -> bool:
    return (one.scenario, one.method, one.metric) == (scenario, method, metric)


def _cells(report: Report, scenario: str, method: str, metrics: Iterable[str]) -> list[str]:
    found = {one.metric: one for one in _full(report, scenario) if one.method == method}
    return [
        f"{number(found[name].value)} [{number(found[name].low)}, {number(found[name].high)}]" if name in found else ""
        for name in metrics
    ]


def _published(key: Key, metrics: Iterable[str]) -> list[tuple[str, list[str], str]]:
    """Return rows of what others published on this protocol."""
    data, protocol, scenario = key
    return [
        (
            one["method"],
            [*(number(one["values"][scenario].get(name)) for name in metrics), ""],
            f"[published]({one['source']}): {one['differs']}",
        )
        for one in _read_published()
        if (one["data"], one["protocol"]) == (data, protocol) and scenario in one["values"]
    ]


def _read_published() -> list[dict]:
    return json.loads((ROOT / "docs" / "published.json").read_text(encoding="utf-8"))


def _tuning(report: Report) -> str:
    """Say what the choice of hyper-parameters cost."""
    if not (tuning := report.metadata.get("tuning")):
        return ", not by `metajax tune`"
    return f", {tuning['trials']} trials in {tuning['seconds']:,.0f} s"


def _verdicts(scenario: str, reports: Reports, metrics: Iterable[str]) -> dict[tuple[str, str], str]:
    """Say of every learner whether it won or lost, corrected over all learners and metrics of the table."""
    tests = [
        (name, one)
        for name, report in reports.items()
        for one in report.summary.comparisons
        if one.scenario == scenario and one.k is None and one.metric in metrics
    ]
    corrected = holm(np.array([one.p for _, one in tests])) if tests else []
    verdicts = {}
    for (name, one), p in zip(tests, corrected, strict=True):
        if one.metric == "mae":
            said = outcome(one.difference, float(p), -1)
            said = f"{said} by {number(abs(one.difference))}" if said in ("better", "worse") else said
            verdicts[name, one.method] = said
    return verdicts


def main() -> None:
    """Write both files."""
    folder = ROOT / "experiments" / "results"
    reports = {
        str(path.relative_to(folder).with_suffix("")): read_report(path)
        for path in sorted(folder.rglob("*.json"))
        if path.name not in NO_REPORTS
    }
    found = boards(reports)
    page = [
        "# Results\n",
        "Written by `make docs` from the reports in `experiments/results/`, which hold the command, commit, seeds and",
        "configuration of each run. What the columns mean: [protocols.md](protocols.md).\n",
    ]
    for key, group in found.items():
        page += board(key, group)
    page += [transfer(found), sinusoids()]
    (ROOT / "docs" / "results.md").write_text("\n".join(page), encoding="utf-8")
    fill(ROOT / "README.md", "results", "\n".join(table(key, found[key]) for key in ON_README if key in found))
    fill(ROOT / "docs" / "learners.md", "rows", learner_rows(found))
    fill(ROOT / "docs" / "howto.md", "own data", own_data(folder / "own_data.json"))


def own_data(kept: Path) -> str:
    """Write what `make bench-own-data` found."""
    document = json.loads(kept.read_text(encoding="utf-8"))
    lines = [
        f"Commit {document['commit']}. Generated half stars, noise {document['noise']}; cold users.",
        "",
        "| ratings | users | items | train | evaluate | most memory so far | RMSE | best baseline | its RMSE |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in document["rows"]:
        own, (method, *its) = row["rmse"], row["best_baseline"]
        error, other = (f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in (own, its))
        sizes = " | ".join(f"{row[name]:,}" for name in ("ratings", "users", "items"))
        times = " | ".join(f"{row['seconds'][verb]:.0f} s" for verb in ("train", "evaluate"))
        lines.append(f"| {sizes} | {times} | {row['most_bytes'] / 1e9:.1f} GB | {error} | {method} | {other} |")
    return "\n".join([*lines, ""])


def board(key: Key, group: Reports) -> list[str]:
    """Write all tables of a data set, protocol and scenario."""
    scenario = key[2]
    if not rated(scenario, list(group.values())):
        return [f"**{key[0]}, protocol `{key[1]}`, {scenario}**, who took what up", "", catalogue(scenario, group)]
    tables = [table(key, group), curve(key, group, "mae"), curve(key, group, "ndcg@5")]
    if scenario == "user_cold":
        tables.append(catalogue(scenario, group))
    source = baselines_of(group)
    tables += [calibration(scenario, name, one, source) for name, one in group.items() if last_part(name) == "flagship"]
    return tables


def fill(page: Path, block: str, text: str) -> None:
    """Replace what stands between a page's markers."""
    begin, end = f"<!-- {block} -->", f"<!-- /{block} -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{rest.partition(end)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
