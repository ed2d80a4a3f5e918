"""`metajax serve` as a process of its own, and artifacts for it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from benchmarks.serving_load import Door
from metajax.experiment.artifact import ARRAYS, DOCUMENT
from metajax.files import read_json, write_json, write_manifest
from metajax.recommender import artifact_folder
from metajax.serving.keys import create_key

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "runs"
TO_TRAIN = {
    "flagship": [
        "--learner.members",
        "1",
        "--training.outer-steps",
        "300",
        "--training.min-epochs",
        "0",
        "--training.no-refit",
    ],
    "ridge": ["--training.outer-steps", "300", "--training.no-refit"],
}
"""Options that make of an experiment on MovieLens-1M a run of minutes: weights do not change the speed."""
PATIENCE = 180.0
"""Seconds that a service may take until it is ready."""


class Served:
    """A service that runs."""

    def __init__(self, artifact: Path, folder: Path, *options: str, store: str = "users.db") -> None:
        """Start it and wait until it is ready; keys, users and log lie in `folder`."""
        self.folder = folder
        keys = folder / "keys.json"
        self._log = (folder / f"{store}.log").open("ab")
        command = [sys.executable, "-m", "metajax.cli", "serve", str(artifact), "--port", "0", "--keys", str(keys)]
        key_file = folder / "key.txt"
        if not key_file.exists():
            key_file.write_text(create_key(keys, ("recommend", "feedback", "admin")), encoding="ascii")
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [*command, "--store", f"sqlite:///{folder / store}", *options],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        try:
            self.door = Door(self._port(), key_file.read_text(encoding="ascii"))
            self._wait()
        except BaseException:
            self.end(signal.SIGKILL)
            raise
        self.ready_after = time.perf_counter() - began

    def memory(self) -> float:
        """Return the resident memory, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
        return int(line.split()[1]) / 1000

    def metric(self, name: str) -> float:
        """Return the value of a metric without labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.door.port}/metrics", timeout=10) as response:
            text = response.read().decode()
        return sum(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))

    def end(self, by: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        self.process.send_signal(by)
        self.process.wait(30)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()

    def _port(self) -> int:
        for line in self.process.stdout or ():
            if line.startswith("The page:"):
                return int(line.rstrip("/\n").rpartition(":")[2])
        raise RuntimeError(f"The service did not start; {self._log.name} says why.")

    def _wait(self) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.door.port}/health/ready", timeout=10).close()
                return
            except OSError:  # not yet, or too busy with compiling to say so
                time.sleep(0.02)
        raise RuntimeError(f"The service was not ready after {PATIENCE:g} s; {self._log.name} says why.")


def trained(learner: str) -> Path:
    """Return the artifact of a run on MovieLens-1M, which is trained if there is none."""
    name = f"bench-serve-{learner}"
    if not (RUNS / name / "seed-0" / "artifact" / DOCUMENT).is_file():
        if not os.environ.get("METAJAX_DATA"):
            raise SystemExit("Set METAJAX_DATA to a folder that holds ml-1m, or give --artifact FOLDER.")
        print(f"training {learner} for a few hundred steps: its weights do not change the speed", file=sys.stderr)
        options = ["--name", name, "--runs", str(RUNS), "--seeds", "0", "--quiet", "--overwrite", *TO_TRAIN[learner]]
        file = ROOT / "experiments" / "movielens_1m" / f"{learner}.py"
        subprocess.run([sys.executable, "-m", "metajax.cli", "train", str(file), *options], check=True)
    return artifact_folder(RUNS / name)


def variants(artifact: Path, folder: Path, count: int) -> list[Path]:
    """Write versions of an artifact for reloads: of every two in a row the one's parameters are a little smaller."""
    source, made = artifact_folder(artifact), []
    for number in range(count):
        target = folder / f"version-{number}"
        shutil.copytree(source, target)
        document = read_json(target / DOCUMENT)
        write_json(target / DOCUMENT, document | {"training": document["training"] | {"reload": number}})
        arrays = load_file(target / ARRAYS)
        scale = np.float32(0.9 if number % 2 else 1.0)
        changed = {
            name: np.asarray(array * scale) if name.startswith("params/") and array.dtype == np.float32 else array
            for name, array in arrays.items()
        }
        save_file(changed, target / ARRAYS)
        write_manifest(target)
        made.append(target)
    return made


def catalogue(artifact: Path) -> tuple[list[str], tuple[float, float]]:
    """Return an artifact's item ids, as text, and its scale."""
    folder = artifact_folder(artifact)
    low, high = read_json(folder / DOCUMENT)["scale"]
    return [str(one) for one in read_json(folder / "items.json")["ids"]], (low, high)


def describe_model(artifact: Path) -> str:
    """Say what is served."""
    document = json.loads((artifact_folder(artifact) / DOCUMENT).read_text(encoding="utf-8"))
    kind = re.sub(r"(?<!^)(?=[A-Z])", " ", document["experiment"]["learner"]["kind"]).lower()
    return f"{kind} on {document['training'].get('data', 'unknown data')}"
