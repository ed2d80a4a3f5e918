"""Keep the reports of evaluated runs: python docs/keep_report.py RUN...

A run's learner goes to experiments/results/<its folder and name>.json, with the reference baseline that it is tested
against; the other baselines, which are the same for all runs of a folder, go to baselines.json beside it.
"""

import sys
from dataclasses import replace
from pathlib import Path

from metajax.evaluation.report import Report, read_report, report_document
from metajax.evaluation.summary import Summary
from metajax.files import write_text

RESULTS = Path(__file__).parents[1] / "experiments" / "results"


def keep(run: Path) -> None:
    """Write one run's report and its baselines."""
    import json

    report = read_report(run / "report.json")
    path = RESULTS / f"{report.metadata['name']}.json"
    baselines = {**report.metadata, "name": "baselines", "config": None, "learning_curves": []}
    for target, part in {
        path: Report(_part(report.summary, baselines=False), report.metadata),
        path.parent / "baselines.json": Report(_part(report.summary, baselines=True), baselines),
    }.items():
        write_text(target, json.dumps(report_document(*part), ensure_ascii=False, separators=(",", ":")) + "\n")
        print(f"kept {target.relative_to(RESULTS.parents[1])}")


def _part(summary: Summary, *, baselines: bool) -> Summary:
    def wanted(one) -> bool:
        is_reference = one.method in (
            summary.reference_baseline[one.scenario],
            summary.rank_reference.get(one.scenario),
        )
        return one.kind == "baseline" if baselines else one.kind == "learner" or is_reference

    return replace(
        summary,
        estimates=tuple(filter(wanted, summary.estimates)),
        comparisons=() if baselines else summary.comparisons,
        breakdown=tuple(filter(wanted, summary.breakdown)),
        groups=tuple(filter(wanted, summary.groups)),
    )


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        keep(Path(folder))
