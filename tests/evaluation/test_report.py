"""Reports: JSON that is strict, a page that loads nothing and escapes everything, tables that say who lost."""

import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
from evaluation.report_frames import METADATA, PROTOCOL, results_frame
from rich.console import Console

from metajax.errors import StorageError
from metajax.evaluation.figures import LEARNERS, Line, curve
from metajax.evaluation.page import render_page
from metajax.evaluation.report import read_report, write_report
from metajax.evaluation.summary import summarise
from metajax.evaluation.tables import render_table, table_rows

HOSTILE = '<script>alert("$x")</script>&'
METHODS = [("ridge", "learner", 0.7), (HOSTILE, "learner", 0.9), ("bias", "baseline", 0.75), ("mean", "baseline", 0.8)]


@pytest.fixture(scope="module")
def summary():
    frame = results_frame(METHODS, num_users=24)
    frame = frame.with_columns(mae=pl.when(pl.col("method") == "mean").then(None).otherwise(pl.col("mae")))
    return summarise(frame, protocol=PROTOCOL, reference_baseline="bias")


@pytest.fixture(scope="module")
def folder(summary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_report(folder, summary, METADATA | {"notes": [HOSTILE, "line\u2028separator"]})
    return folder


def in_terminal(tables):
    console = Console(file=io.StringIO(), width=160)
    console.print(*tables)
    return console.file.getvalue()


def test_both_files_and_nothing_else_are_written(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json"]


def test_a_report_comes_back(folder, summary):
    report = read_report(folder / "report.json")
    assert report.summary == summary
    assert report.metadata["command"] == METADATA["command"]


def test_every_number_carries_interval_users_seeds_and_protocol(folder):
    document = json.loads((folder / "report.json").read_text())
    assert document["protocol"]["sentence"] == PROTOCOL["sentence"]
    for entry in document["results"]:
        assert entry["low"] <= entry["value"] <= entry["high"]
        assert entry.keys() >= {"users", "seeds", "protocol"}
        assert entry["protocol"] == "user_cold"


def test_what_is_not_finite_or_not_json_is_made_so(tmp_path, summary):
    lines = [{"seed": 0, "step": 1, "loss": float("nan")}, {"seed": 0, "step": 2, "loss": np.float32(0.5)}]
    write_report(
        tmp_path, summary, METADATA | {"learning_curves": lines, "config": {"path": tmp_path, "shots": (0, 1)}}
    )
    text = (tmp_path / "report.json").read_text()
    assert "NaN" not in text
    metadata = json.loads(text)["metadata"]
    assert [line["loss"] for line in metadata["learning_curves"]] == [None, 0.5]
    assert metadata["config"] == {"path": str(tmp_path), "shots": [0, 1]}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: d.update(schema="other"), "is not a report of metajax"),
        (lambda d: d.update(version=1), "has version 1; this metajax reads 2"),
        (lambda d: d.update(metadata=[]), "'metadata' must be an object"),
        (lambda d: d.pop("results"), "'results' must be a list, got None"),
        (lambda d: d["results"].insert(0, 1), r"results\[0\] must be an object, got 1"),
        (lambda d: d["results"][1].pop("low"), r"results\[1\] has no 'low'"),
        (lambda d: d["results"][1].update(low="0.1"), r"results\[1\]\.low must be float, got '0.1'"),
        (lambda d: d["results"][1].update(low=True), r"results\[1\]\.low must be float, got True"),
        (lambda d: d["results"][1].update(k=0.5), r"results\[1\]\.k must be int or NoneType, got 0.5"),
        (lambda d: d["results"][1].update(seeds=["0"]), r"results\[1\]\.seeds must be tuple"),
        (lambda d: d["comparisons"][0].update(users=True), r"comparisons\[0\]\.users must be int, got True"),
        (lambda d: d.update(reference_baseline={}), "'reference_baseline' names none for scenario 'user_cold'"),
    ],
)
def test_another_schema_is_refused(folder, tmp_path, change, match):
    document = json.loads((folder / "report.json").read_text())
    change(document)
    (tmp_path / "report.json").write_text(json.dumps(document))
    with pytest.raises(StorageError, match=match):
        read_report(tmp_path / "report.json")


class Page(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_page_loads_nothing(page):
    """No address but the fragments that a figure names within itself."""
    assert "http://" not in page
    assert "https://" not in page
    assert "@import" not in page
    assert "xlink" not in page
    assert "<metadata" not in page
    parsed = Page(page)
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(parsed.tags)
    assert all(value.startswith("#") for name, value in parsed.attributes if name in ("href", "src"))
    assert set(re.findall(r"url\((.)", page)) <= {"#"}
    assert "default-src 'none'" in page


def test_the_page_escapes_hostile_names(page):
    assert "<script" not in page
    parsed = Page(page)
    assert any(HOSTILE in text for text in parsed.text)
    assert not any(name.startswith("on") for name, _ in parsed.attributes)


def test_every_name_is_escaped_wherever_it_stands():
    frame = results_frame([("a", "learner", 0.7), (HOSTILE, "baseline", 0.8)], scenarios=(HOSTILE,), num_users=12)
    frame = frame.rename({"ndcg@5": HOSTILE})
    summary = summarise(
        frame,
        protocol=dict.fromkeys([*PROTOCOL, "unit"], HOSTILE) | {"relevance_threshold": 4.0},
        reference_baseline=HOSTILE,
    )
    metadata = {key: HOSTILE for key in METADATA if key not in ("data", "learning_curves", "versions", "notes")}
    metadata |= {"data": {HOSTILE: HOSTILE, "counts": {HOSTILE: HOSTILE}}, "versions": {HOSTILE: HOSTILE}}
    metadata |= {"learning_curves": [{"seed": HOSTILE, "step": i, "loss": 1.0} for i in range(3)]}
    assert "<script" not in render_page(summary, metadata)


def test_the_page_is_well_nested(page):
    void = {"meta", "br", "hr"}
    shapes = {"path", "rect", "circle", "use"}
    stack = []

    class Nesting(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in void:
                stack.append(tag)

        def handle_startendtag(self, tag, attrs):
            assert tag in shapes | {"svg", "g"}

        def handle_endtag(self, tag):
            assert stack.pop() == tag

    Nesting().feed(page)
    assert stack == []


def test_the_page_holds_figures_for_light_and_dark(page):
    assert page.count('<svg class="figure"') == 6
    assert "prefers-color-scheme: dark" in page
    assert "var(--series-1)" in page
    assert "#0a0b" not in page
    assert 'name="viewport"' in page


def test_the_page_says_what_was_run(page):
    text = "".join(Page(page).text)
    for expected in (
        PROTOCOL["sentence"],
        METADATA["command"],
        METADATA["commit"],
        "100,000 ratings",
        "non-commercial",
    ):
        assert expected in text
    assert "5 draws, 2 training seeds, 24 users" in text


def test_a_losing_learner_is_said_to_lose(page, summary):
    text = "".join(Page(page).text)
    assert re.search(r"MAE: worse than bias by 0\.1\d\d stars \[0\.1\d\d, 0\.1\d\d\], p (=|<) 0\.00", text)
    assert re.search(r"MAE: better than bias by 0\.0\d\d stars", text)
    terminal = in_terminal(render_table(summary))
    assert re.search(r"</script>&, MAE: worse than bias by 0\.1\d\d stars", terminal)
    assert re.search(r"ridge, nDCG@5: better than bias by 0\.0\d\d \[", terminal)


def test_a_page_without_metadata_or_shots_is_written():
    frame = results_frame(METHODS[::2], shots=(None,), num_users=12)
    page = render_page(summarise(frame, protocol={}, reference_baseline="bias"), {})
    assert "k-shot" not in page
    assert "Learning curves" not in page


def test_one_page_is_the_same_twice(folder, summary, page):
    assert render_page(summary, json.loads((folder / "report.json").read_text())["metadata"]) == page


def test_the_best_of_each_metric_is_marked(page, summary):
    """The only cells in bold: ridge, which has the lowest errors and the highest nDCG."""
    (row,) = (row for row in table_rows(summary, "user_cold", ("mae", "rmse", "ndcg@5"), None) if any(row.is_best))
    assert (row.method, row.is_best) == ("ridge", (True, True, True))
    marked = re.findall(r'<tr class="(\w+)"><th scope="row">(\w+)<span[^>]*>learner</span></th>(.*?)</tr>', page)
    assert ("learner", "ridge", 3) in [(kind, name, cells.count("class=best")) for kind, name, cells in marked]


@pytest.fixture(scope="module")
def many():
    """Twelve metrics, three of them of the catalogue, which the baseline "mean" does not have."""
    frame = results_frame([("ridge", "learner", 0.7), *METHODS[2:]], num_users=12)
    own = {f"{name}@{k}": pl.col("ndcg@5") for name in ("precision", "recall", "map") for k in (5, 10)}
    ranked = pl.when(pl.col("method") == "mean").then(None).otherwise("ndcg@5")
    catalogue = {f"catalogue_{name}": ranked for name in ("mrr", "ndcg@10", "recall@10")}
    return summarise(frame.with_columns(**own, **catalogue), protocol=PROTOCOL, reference_baseline="bias")


def test_the_two_regimes_have_tables_of_their_own(many):
    own, catalogue = render_page(many, {}).split("<h3>Ranking the whole catalogue</h3>")
    first, second = own[own.index("<thead>") : own.index("</table>")], catalogue[: catalogue.index("</table>")]
    assert "catalogue" not in first
    assert "MRR ↑<small>≥ 4 stars" in second
    assert re.findall(r'scope="row">(\w+)', first) == ["ridge", "bias", "mean"]
    assert re.findall(r'scope="row">(\w+)', second) == ["ridge", "bias"]


def test_every_metric_of_a_learner_is_compared_on_the_page(many):
    page = render_page(many, {})
    everything = page[page.index("<summary>All metrics</summary>") :]
    lines = re.findall(r'<tr><th scope="row">ridge</th><td>(.*?)</td>', everything)
    assert len(lines) == len(many.metrics("user_cold")) == 12
    assert "catalogue recall@10 ↑ (≥ 4 stars)" in lines


def test_a_narrow_terminal_shows_whole_numbers(many):
    console = Console(file=io.StringIO(), width=80)
    console.print(*render_table(many))
    text = console.file.getvalue()
    assert "…" not in text
    assert "7 more metrics are in the report" in text
    estimates = [e for e in many.estimates if e.metric in ("mae", "catalogue_ndcg@10") and e.k is None]
    assert all(f"{e.value:.3f}" in text for e in estimates)


def test_labels_of_a_figure_are_text():
    """Neither markup nor mathematics."""
    svg = curve([Line(LEARNERS[0], [0, 1], [1, 2])], x_label="$x$ <b>", y_label='"y"')
    assert ">$x$ &lt;b&gt;<" in svg
    assert 'aria-label="&quot;y&quot; by $x$ &lt;b&gt;"' in svg


def test_headers_carry_the_protocol(summary):
    terminal = in_terminal(render_table(summary))
    for header in ("MAE ↓ (stars)", "RMSE ↓ (stars)", "nDCG@5 ↑ (exponential)"):
        assert header in terminal
    row = next(line for line in terminal.splitlines() if "▸ ridge" in line)
    assert re.search(r"0\.[67]\d\d ±0\.0\d\d", row)
    lines = [line for line in terminal.splitlines() if line.startswith("│")]
    order = [line.split()[1:3] for line in lines]
    assert order[0] == ["▸", "ridge"]
    assert order[-1][0] == "mean"
    assert " - " in lines[-1]
