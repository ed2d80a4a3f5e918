"""README does what it says: its Python runs as written, its verbs, targets and links exist."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metajax.cli import VERBS, main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_verbs_targets_and_links_exist(page):
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"(?:^|`)metajax ([a-z]+)(?=[\s`])", text, re.MULTILINE)) <= set(VERBS)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)`", text)) <= targets
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert link.startswith("https://") or (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_flags_that_a_page_names_exist(page, capsys):
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"(?<!/models/)\b((?:metajax|tests|experiments)/[\w/.]*\w/?)(?![\w.<])", text):
        assert (ROOT / path).exists(), path
    flags = set(re.findall(r"--(?:data|training|evaluation|learner|model)\.[a-z-]+", text))
    if flags:
        with pytest.raises(SystemExit):
            main(["train", "--help"])
        shown = capsys.readouterr().out
        assert [flag for flag in sorted(flags) if flag not in shown] == []


@pytest.mark.slow
def test_the_demo_and_the_quickstart_run_as_written(tmp_path, monkeypatch):
    """`metajax demo`, then the first Python block of README, each in a process of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    subprocess.run([sys.executable, "-m", "metajax.cli", "demo"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "runs/demo/report.json").is_file()
    assert (tmp_path / "runs/demo/report.html").is_file()
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert block
    done = subprocess.run(
        [sys.executable, "-c", block[1]], cwd=tmp_path, check=True, capture_output=True, text=True, env=os.environ
    )
    assert len(done.stdout.splitlines()) == 11
    shutil.rmtree(tmp_path / "runs")


@pytest.mark.usefixtures("as_users_run")
def test_the_three_commands_for_a_csv_of_ones_own(tmp_path, monkeypatch, capsys):
    """The words are README's; only flags that shorten the training are added."""
    import jax
    import polars as pl
    from experiment import tiny

    block = re.search(r"```sh\n(metajax train ratings.*?)```", README, re.DOTALL)
    assert block
    commands = [line.replace('"', "").split()[1:] for line in block[1].splitlines()]
    assert [command[0] for command in commands] == ["train", "evaluate", "recommend"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tiny.write_ratings(tmp_path / "all.csv")
    frame = pl.read_csv(tmp_path / "all.csv").rename({"person": "user_id", "thing": "item_id", "stars": "rating"})
    frame = frame.with_columns(pl.col("item_id").replace({29: 42}))
    frame.write_csv(tmp_path / "ratings.csv")
    cache = jax.config.jax_compilation_cache_dir
    try:
        assert main([*commands[0], *tiny.FLAGS]) == 0
        assert main(commands[1]) == 0
        capsys.readouterr()
        assert main(commands[2]) == 0
    finally:
        jax.config.update("jax_compilation_cache_dir", cache)
    assert "Recommended" in capsys.readouterr().out


HOWTO = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "howto.md").read_text(encoding="utf-8"), re.DOTALL)


def test_frames_of_ones_own_are_written_as_howto_shows(tmp_path):
    import polars as pl

    from metajax.data import load

    names = {
        "ratings": pl.DataFrame({"user_id": [1, 1, 2], "film_id": [7, 8, 7], "stars": [5, 3, 4], "at": [10, 20, 30]}),
        "films": pl.DataFrame({"film_id": [7, 8], "genres": [["war"], ["war", "sport"]], "length": [90.0, 120.0]}),
        "folder": tmp_path / "mine",
    }
    exec(HOWTO[0], names)
    found = load(tmp_path / "mine")
    assert found.ratings.height == 3
    assert [feature.name for feature in found.features] == ["genres", "length"]


@pytest.mark.slow
@pytest.mark.usefixtures("as_users_run")
def test_the_model_and_the_learner_of_howto_train_and_follow_the_ratings(tmp_path, monkeypatch):
    """The two blocks are one experiment file; only flags that shorten the training are added."""
    import jax
    import polars as pl
    from experiment import tiny

    from metajax import Recommender
    from metajax.experiment import load_experiment

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tiny.write_ratings(tmp_path / "all.csv")
    frame = pl.read_csv(tmp_path / "all.csv").rename({"person": "user_id", "thing": "item_id", "stars": "rating"})
    frame.write_csv(tmp_path / "ratings.csv")
    (tmp_path / "mine.py").write_text("\n\n".join(HOWTO[1:3]))
    cache = jax.config.jax_compilation_cache_dir
    try:
        short = ["--training.outer-steps", "20", "--training.validate-every", "10", "--model.width", "8", "--quiet"]
        assert main(["train", "mine.py", *short]) == 0
        own = ["--experiment", "mine.py"]
        assert main(["recommend", "runs/mine", "--rate", "1=5", *own]) == 0
        assert main(["export", "runs/mine", "exported", *own]) == 0
    finally:
        jax.config.update("jax_compilation_cache_dir", cache)
    assert (tmp_path / "exported" / "manifest.json").is_file()
    recommender = Recommender.load("runs/mine", experiment=load_experiment("mine.py"))
    before, glad, sad = (recommender.adapt(ratings).predict(3) for ratings in ({}, {1: 5, 2: 5}, {1: 1, 2: 1}))
    assert sad < before < glad
