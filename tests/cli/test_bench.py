"""Memory by part, and a trace of the outer steps."""

import jax
import pytest
from experiment import tiny

from metajax.cli import main
from metajax.cli.bench import readable
from metajax.errors import ConfigError
from metajax.experiment.memory import PartMemory, _measure

pytestmark = pytest.mark.usefixtures("as_users_run")
COLUMNS = ["--data.user", "person", "--data.item", "thing", "--data.target", "stars"]


@pytest.fixture
def ratings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "140")
    cache = jax.config.jax_compilation_cache_dir
    tiny.write_ratings(tmp_path / "ratings.csv")
    yield str(tmp_path / "ratings.csv")
    jax.config.update("jax_compilation_cache_dir", cache)


def test_memory_is_told_by_part(ratings, capsys):
    assert main(["bench", "memory", ratings, *COLUMNS, *tiny.FLAGS]) == 0
    told = capsys.readouterr().out
    for part in ("outer step", "adaptation, 8 users of 12", "prediction, 8 users of 10", "ranking, 64 users, 30 items"):
        assert part in told
    assert " kB" in told


@pytest.mark.slow
def test_a_trace_of_the_outer_steps_is_kept_and_changes_nothing(ratings, tmp_path, capsys):
    few = ["--training.outer-steps", "4", "--training.validate-every", "4", "--training.no-refit"]
    for name in ("plain", "traced"):
        flags = ["--profile"] if name == "traced" else []
        assert tiny.train(tmp_path, *few, "--name", name, *flags) == 0
    told = capsys.readouterr().out
    (trace,) = (tmp_path / "runs" / "traced" / "profile").rglob("perfetto_trace.json.gz")
    assert f"Traced 3 outer steps. Open {trace}" in told
    logs = [(tmp_path / "runs" / name / "seed-0" / "metrics.jsonl").read_text() for name in ("plain", "traced")]
    assert [line.split("tasks_per_second")[0] for line in logs] == [logs[0].split("tasks_per_second")[0]] * 2


def test_what_is_not_measured_here_is_refused(capsys):
    assert main(["bench", "speed"]) == 2
    assert "metajax bench measures memory, got 'speed'" in capsys.readouterr().err


def test_a_compiler_that_does_not_tell_is_named():
    class Silent:
        def compile(self):
            return self

        def memory_analysis(self):
            return None

    with pytest.raises(ConfigError, match="The compiler of cpu does not tell"):
        _measure.__wrapped__("a part", Silent())


def test_the_peak_counts_reused_outputs_once():
    assert PartMemory("step", arguments=10, outputs=6, reused=4, temporary=3, code=1).peak == 16


@pytest.mark.parametrize(
    ("size", "told"), [(0, "0 B"), (999, "999 B"), (1630, "1.63 kB"), (663_000, "663 kB"), (2.5e12, "2500 GB")]
)
def test_sizes_are_readable(size, told):
    assert readable(int(size)) == told
