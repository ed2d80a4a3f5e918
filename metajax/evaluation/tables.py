"""The results table of each scenario: as data for a page, and as rich tables for a terminal."""

from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from metajax.evaluation.cells import Comparison
from metajax.evaluation.summary import Estimate, Summary
from metajax.evaluation.wording import Metric, describe_metric, glance, number, verdict


@dataclass(frozen=True)
class TableRow:
    """A method's line.

    Attributes:
        method: its name.
        is_learner: whether it is a learner.
        cells: an estimate per metric; None where it has none.
        is_best: per metric, whether no method of the table has a better value.
    """

    method: str
    is_learner: bool
    cells: tuple[Estimate | None, ...]
    is_best: tuple[bool, ...]


def table_rows(summary: Summary, scenario: str, metrics: tuple[str, ...], k: int | None) -> list[TableRow]:
    """Return a scenario's methods at one support size, best first by the first metric that has a direction."""
    found = {(one.method, one.metric): one for one in summary.estimates if one.scenario == scenario and one.k == k}
    kinds = {one.method: one.kind for one in summary.estimates if one.scenario == scenario and one.k == k}
    described = [describe_metric(metric, summary.protocol) for metric in metrics]
    best = [
        _best([one.value for (_, name), one in found.items() if name == metric], described[i])
        for i, metric in enumerate(metrics)
    ]
    rows = []
    for method, kind in kinds.items():
        cells = tuple(found.get((method, metric)) for metric in metrics)
        is_best = tuple(cell is not None and cell.value == best[i] for i, cell in enumerate(cells))
        rows.append(TableRow(method, kind == "learner", cells, is_best))
    lead = next((i for i, metric in enumerate(described) if metric.direction), 0)

    def rank(row: TableRow) -> tuple[bool, float]:
        cell = row.cells[lead] if row.cells else None
        return (cell is None, -described[lead].direction * cell.value if cell else 0.0)

    return sorted(rows, key=rank)


def verdicts(summary: Summary, scenario: str, k: int | None) -> list[tuple[Comparison, Metric, str]]:
    """Say for every learner (the best first) and metric how it did against the scenario's reference baseline."""
    order = [row.method for row in table_rows(summary, scenario, summary.metrics(scenario), k)]
    found = []
    for one in sorted(summary.comparisons, key=lambda one: order.index(one.method) if one.method in order else -1):
        if one.scenario == scenario and one.k == k:
            metric = describe_metric(one.metric, summary.protocol)
            said = verdict(one.reference, metric, one.difference, one.low, one.high, one.p_holm)
            found.append((one, metric, said))
    return found


def render_table(summary: Summary) -> list[Table]:
    """Lay out the results at full support for a terminal, one table per scenario; headers carry the protocol.

    At most five metrics are shown (see `wording.glance`); the report has them all.
    """
    return [_render_scenario(summary, scenario) for scenario in summary.scenarios]


def _render_scenario(summary: Summary, scenario: str) -> Table:
    metrics = glance(summary.telling(scenario))
    table = Table(
        title=Text(f"{scenario} · {setting(summary, scenario)}"),
        caption=_caption(summary, scenario),
        caption_justify="left",
    )
    table.add_column("method", min_width=22, overflow="fold")
    for metric in metrics:
        table.add_column(
            Text(describe_metric(metric, summary.protocol).header), justify="right", min_width=6, overflow="fold"
        )
    for row in table_rows(summary, scenario, metrics, summary.shots(scenario)[-1]):
        name = Text(f"▸ {row.method}" if row.is_learner else f"  {row.method}", style="cyan" if row.is_learner else "")
        table.add_row(name, *(_cell(*one) for one in zip(row.cells, row.is_best, strict=True)))
    return table


def setting(summary: Summary, scenario: str) -> str:
    """Say under what a scenario was measured: "melu, query regime, 10 draws, 3 training seeds, 668 users"."""
    protocol = summary.protocol
    users = max((one.users for one in summary.estimates if one.scenario == scenario), default=0)
    parts = [str(protocol.get("name", ""))]
    if regime := protocol.get("regime"):
        parts.append(f"{regime} regime")
    for count, name in ((protocol.get("draws"), "draw"), (len(summary.seeds), "training seed")):
        if count:
            parts.append(f"{count} {name}" + ("s" if count != 1 else ""))
    return ", ".join([*filter(None, parts), f"{users:,} users"])


def _cell(estimate: Estimate | None, is_best: bool) -> Text:
    if estimate is None:
        return Text("-", style="dim")
    half = number((estimate.high - estimate.low) / 2)
    return Text.assemble((number(estimate.value), "bold" if is_best else ""), (f" ±{half}", "dim"))


def _caption(summary: Summary, scenario: str) -> Text:
    lines = ["▸ learner; best in bold; ± half of the 95 % interval over users; p after Holm's correction"]
    shown = glance(summary.telling(scenario))
    if hidden := len(summary.metrics(scenario)) - len(shown):
        lines.append(f"{hidden} more metrics are in the report")
    for one, metric, said in verdicts(summary, scenario, summary.shots(scenario)[-1]):
        if one.metric in shown:
            lines.append(f"{one.method}, {metric.name}: {said}")
    return Text("\n".join(lines))


def _best(values: list[float], metric: Metric) -> float | None:
    if not values or not metric.direction:
        return None
    return max(values, key=lambda value: value * metric.direction)
