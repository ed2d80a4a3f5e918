"""From a csv file to recommendations: what a run leaves, what it refuses, and what an artifact promises."""

import json

import pytest
from experiment import tiny

from metajax import Recommender
from metajax.cli import main
from metajax.errors import DataError, StorageError
from metajax.evaluation.report import read_report
from metajax.experiment.artifact import read_artifact

pytestmark = pytest.mark.usefixtures("as_users_run")


def test_a_run_leaves_its_report_with_every_baseline(run):
    report = read_report(run / "report.json")
    methods = {one.method for one in report.summary.estimates}
    baselines = {"global mean", "user mean", "item mean", "popularity", "bias"}
    assert methods >= {"StudentT (MatrixFactorization)", "item-kNN", "EASE", "ALS fold-in", *baselines}
    assert "bias + content ridge" not in methods  # of items nothing is known but who rated them
    assert {one.k for one in report.summary.estimates} == {0, 5, 10, None}  # 10 is a size that lists are wanted at
    assert "<html" in (run / "report.html").read_text(encoding="utf-8")
    for name in ("config.json", "per_user.parquet", "seed-0/metrics.jsonl", "seed-0/artifact/manifest.json"):
        assert (run / name).is_file()


def test_adapting_lowers_the_error_of_users_with_taste(run):
    estimates = read_report(run / "report.json").summary.estimates
    mae = {one.k: one for one in estimates if one.kind == "learner" and one.metric == "mae"}
    assert mae[None].high < mae[0].low


def test_a_run_is_not_overwritten_nor_resumed_with_other_choices(trained, capsys):
    assert tiny.train(trained) == 5
    assert "holds a run already" in capsys.readouterr().err
    assert tiny.train(trained, "--resume", "--learner.freedom", "9") == 5
    assert "was begun with learner = " in capsys.readouterr().err


def test_resuming_a_finished_run_changes_nothing(trained, run):
    before = (run / "seed-0" / "artifact" / "manifest.json").read_bytes()
    assert tiny.train(trained, "--resume") == 0
    assert (run / "seed-0" / "artifact" / "manifest.json").read_bytes() == before


def test_recommendations_follow_the_ratings_without_the_training_data(artifact):
    recommender = Recommender.load(artifact)
    low = recommender.adapt({0: 5, 1: 5, 2: 5, 20: 1}).recommend(8)
    high = recommender.adapt({20: 5, 21: 5, 22: 5, 1: 1}).recommend(8)
    assert sum(one.item < 15 for one in low) >= 7
    assert sum(one.item >= 15 for one in high) >= 7
    assert not {one.item for one in low} & {0, 1, 2, 20}
    scores = [one.score for one in low]
    assert scores == sorted(scores, reverse=True)


def test_no_ratings_give_the_prior_and_seen_items_can_stay(artifact):
    recommender = Recommender.load(artifact)
    assert len(recommender.adapt({}).recommend(40)) == 30
    seen = recommender.adapt({0: 5.0}).recommend(40, exclude_seen=False)
    assert 0 in {one.item for one in seen}
    assert 1 <= recommender.adapt({0: 5.0}).predict(3) <= 5


def test_adapting_changes_no_shared_parameter_and_no_other_user(artifact):
    recommender = Recommender.load(artifact)
    first = recommender.adapt({0: 5, 1: 1})
    before = first.recommend(30)
    recommender.adapt({20: 5, 21: 5, 0: 1})
    assert first.recommend(30) == before
    assert recommender.adapt({0: 5, 1: 1}).recommend(30) == before


def test_bad_ratings_are_told(artifact):
    recommender = Recommender.load(artifact)
    with pytest.raises(DataError, match="There is no item 'x99' in the catalogue"):
        recommender.adapt({"x99": 5})
    with pytest.raises(DataError, match="rating of 0 is 7, but ratings go from 1 to 5"):
        recommender.adapt({0: 7})


def test_a_misspelt_title_gets_near_matches(artifact):
    items = json.loads((artifact / "items.json").read_text())
    items["titles"] = [f"Film {one} (1999)" for one in items["ids"]]
    items["titles"][3] = "Toy Story (1995)"
    (artifact / "items.json").write_text(json.dumps(items))
    from metajax.files import write_manifest

    write_manifest(artifact)
    recommender = Recommender.load(artifact)
    assert recommender.position("Toy Story (1995)") == 3
    with pytest.raises(DataError, match=r"no item 'Toy Stori'.*Did you mean: Toy Story \(1995\)"):
        recommender.position("Toy Stori")
    assert recommender.adapt({"Toy Story (1995)": 5}).recommend(1)[0].title.startswith("Film")
    with pytest.raises(DataError, match=r"'Toy Story \(1995\)' and 3 are the same item, rated twice"):
        recommender.adapt({"Toy Story (1995)": 5, 3: 1})


@pytest.mark.parametrize("name", ["arrays.safetensors", "artifact.json", "items.json", "encoding.json"])
def test_a_flipped_byte_is_refused_with_its_name(artifact, name):
    content = bytearray((artifact / name).read_bytes())
    content[len(content) // 2] ^= 1
    (artifact / name).write_bytes(content)
    with pytest.raises(StorageError, match=f"{name} was altered"):
        read_artifact(artifact)


def test_a_missing_file_or_a_wrong_size_is_refused_with_its_name(artifact):
    with (artifact / "items.json").open("ab") as file:
        file.write(b" ")
    with pytest.raises(StorageError, match=r"items\.json has \d+ bytes, but manifest\.json recorded"):
        read_artifact(artifact)
    (artifact / "items.json").unlink()
    with pytest.raises(StorageError, match=r"items\.json is missing"):
        read_artifact(artifact)
    with pytest.raises(StorageError, match="holds no artifact"):
        read_artifact(artifact / "nowhere")


def test_export_inspect_recommend_compare_and_show(run, tmp_path, capsys):
    assert main(["export", str(run), str(tmp_path / "out")]) == 0
    assert main(["inspect", str(tmp_path / "out")]) == 0
    shown = " ".join(capsys.readouterr().out.split())  # a title is wrapped where the folder's name is long
    assert "every file is as it was" in shown
    assert "user_cold, mae" in shown
    assert main(["recommend", str(tmp_path / "out"), "--rate", "0=5", "--rate", "20=1", "--top", "3"]) == 0
    assert "Recommended" in capsys.readouterr().out
    assert main(["compare", str(run), str(run)]) == 0
    assert main(["show", str(run)]) == 0
    assert '"kind": "Experiment"' in capsys.readouterr().out
    (tmp_path / "precious").mkdir()
    assert main(["export", str(run), str(tmp_path / "precious")]) == 5
    assert "is no artifact" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--rate", "0"], 'wanted "ITEM=RATING"'),
        (["--rate", "0=five"], "wanted a number"),
        (["--rate", "0=9"], "go from 1"),
        (["--rate", "0=5", "--top", "0"], "1 item or more, got n = 0"),
    ],
)
def test_bad_words_are_told(run, capsys, arguments, told):
    assert main(["recommend", str(run), *arguments]) in (2, 3)
    assert told in capsys.readouterr().err
