"""Two real processes over loopback: the losses of one, one writer, and an end and a new start when one is killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from experiment import tiny
from safetensors.numpy import load_file

from metajax.cli import main
from metajax.errors import StorageError
from metajax.training.distributed import LOST, any_process, by_writer, is_writer
from metajax.training.run_log import RunLog, read_log

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT)]), "XLA_FLAGS": ""}
HEARTBEAT = 10


def start(folder, *flags):
    """Start one process of a run on the tiny ratings; each has a log file of its own."""
    columns = ["--data.user", "person", "--data.item", "thing", "--data.target", "stars"]
    command = [sys.executable, "-m", "metajax.cli", "train", str(folder / "ratings.csv"), *columns, *tiny.FLAGS]
    return subprocess.Popen(
        [*command, *flags], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def start_pair(folder, runs, *flags):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = ["--runs", str(folder / runs), "--distributed", "--coordinator", f"127.0.0.1:{port}", "--processes", "2"]
    return [start(folder, *shared, "--process-id", str(one), "--heartbeat", str(HEARTBEAT), *flags) for one in range(2)]


def finish(processes):
    """Wait for them and return (exit code, stdout, stderr) of each."""
    return [(process.returncode, out, err) for process in processes for out, err in [process.communicate(timeout=300)]]


def seed_folder(folder, runs):
    return folder / runs / "ratings" / "seed-0"


def logged(folder, runs):
    """Return the log but for what differs between two runs of the same numbers."""
    of_the_machine = ("tasks_per_second", "compilations")
    lines = read_log(seed_folder(folder, runs))
    return [{name: value for name, value in line.items() if name not in of_the_machine} for line in lines]


def meta_params(folder, runs):
    return load_file(seed_folder(folder, runs) / "artifact" / "arrays.safetensors")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A folder with the ratings, and below "pair" the run of two processes that nothing disturbed."""
    folder = tmp_path_factory.mktemp("distributed")
    tiny.write_ratings(folder / "ratings.csv")
    finished = finish(start_pair(folder, "pair"))
    assert [code for code, _, _ in finished] == [0, 0], finished
    assert ["Trained 1 seed" in out for _, out, _ in finished] == [True, False]
    return folder


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one_and_one_writer(pair):
    assert [code for code, _, _ in finish([start(pair, "--runs", str(pair / "one"))])] == [0]
    one, two = logged(pair, "one"), logged(pair, "pair")
    assert [line["step"] for line in two] == [50, 100, 150, 200]
    for left, right in zip(one, two, strict=True):
        np.testing.assert_allclose([*left.values()], [*right.values()], rtol=1e-5)
    left, right = meta_params(pair, "one"), meta_params(pair, "pair")
    for name in left:
        np.testing.assert_allclose(left[name], right[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_peer_ends_the_other_and_the_pair_resumes_bit_for_bit(pair, victim):
    runs = f"killed-{victim}"
    processes = start_pair(pair, runs)
    while len(read_log(seed_folder(pair, runs))) < 2:
        assert all(process.poll() is None for process in processes), finish(processes)
        time.sleep(0.01)
    processes[victim].kill()
    killed = time.monotonic()
    code, _, error = finish([processes[1 - victim]])[0]
    assert time.monotonic() - killed < HEARTBEAT + 10
    assert code not in (0, None)
    assert LOST in error
    assert "--resume" in LOST
    finish([processes[victim]])
    assert len(logged(pair, runs)) < 4
    resumed = finish(start_pair(pair, runs, "--resume"))
    assert [code for code, _, _ in resumed] == [0, 0], resumed
    assert logged(pair, runs) == logged(pair, "pair")
    left, right = meta_params(pair, runs), meta_params(pair, "pair")
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


@pytest.mark.slow
def test_what_process_0_refuses_ends_both_at_once(pair):
    finished = finish(start_pair(pair, "pair"))
    assert [code for code, _, _ in finished] == [5, 5], finished
    assert "holds a run already. Continue it with --resume" in finished[0][2]
    assert "Process 0 has refused the run" in finished[1][2]


@pytest.mark.slow
def test_a_terminated_process_saves_and_ends_both(pair):
    """SIGTERM, as a scheduler sends it to one process: all of them write the checkpoint and leave."""
    processes = start_pair(pair, "terminated", "--training.outer-steps", "100000", "--training.patience", "0")
    while len(read_log(seed_folder(pair, "terminated"))) < 1:
        assert all(process.poll() is None for process in processes), finish(processes)
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGTERM)
    assert [code for code, _, _ in finish(processes)] == [130, 130]
    last = logged(pair, "terminated")[-1]["step"]
    assert (seed_folder(pair, "terminated") / "checkpoints" / str(last) / "manifest.json").is_file()


@pytest.mark.slow
def test_processes_that_do_not_meet_are_told_what_to_give(tmp_path):
    tiny.write_ratings(tmp_path / "ratings.csv")
    code, _, error = finish([start(tmp_path, "--runs", str(tmp_path / "runs"), "--distributed")])[0]
    assert code == 2
    assert "The processes of --distributed did not meet" in error
    assert "--coordinator HOST:PORT" in error


def test_the_names_of_processes_need_the_flag(tmp_path, capsys):
    tiny.write_ratings(tmp_path / "ratings.csv")
    assert tiny.train(tmp_path, "--processes", "2") == 2
    assert "are of a distributed run. Add --distributed" in capsys.readouterr().err


def test_the_short_flag_is_the_long_one(tmp_path, capsys):
    assert main(["show", "--mesh", "tasks=4,model=2"]) == 0
    assert '"mesh": "tasks=4,model=2"' in capsys.readouterr().out
    assert main(["show", "--mesh", "tasks=four"]) == 2
    assert "got 'tasks=four'" in capsys.readouterr().err


def test_one_process_is_its_own_writer(tmp_path):
    assert is_writer()
    assert by_writer(lambda: 1 / 3) == 1 / 3
    assert np.isnan(by_writer(lambda: None))
    assert (any_process(True), any_process(False)) == (True, False)

    def refuse():
        raise StorageError("not here")

    with pytest.raises(StorageError, match="not here"):
        by_writer(refuse)


def test_who_is_not_the_writer_leaves_the_log_alone(tmp_path):
    RunLog(tmp_path).write({"step": 1})
    RunLog(tmp_path, writes=False).write({"step": 2})
    assert read_log(tmp_path) == [{"step": 1}]


@pytest.mark.parametrize("end", ["1 / 0", "os.abort()"])
def test_last_words_are_of_a_process_that_cannot_speak(end):
    code = f"import os\nfrom metajax.training.distributed import last_words\nwith last_words('adieu'):\n    {end}"
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert ("adieu" in done.stderr.splitlines()) == ("os" in end)
