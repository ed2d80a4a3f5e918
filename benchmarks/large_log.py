"""Train on a generated log that need not fit into memory: python -m benchmarks.large_log (or `make bench-large`).

The log is written once to FOLDER (about 8 bytes a row), a chunk at a time, and read from there step by step. Item
embeddings are moved by rows. Prints the largest anonymous memory of the process, which the log must not raise: pages of
mapped files are the operating system's to drop. Writes experiments/results/large_log.json.
"""

import argparse
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import jax
import numpy as np

from metajax.data.columns import Column
from metajax.experiment import LazyAdam
from metajax.experiment.provenance import commit
from metajax.files import write_json
from metajax.learners import ridge
from metajax.losses import squared_error
from metajax.models import item_width, matrix_factorization
from metajax.tasks import EpisodeConfig, catalogue, open_histories, write_histories
from metajax.tasks.stored import Chunk
from metajax.training.loop import TrainingConfig, train
from metajax.training.run_log import read_log

RESULT = Path(__file__).parents[1] / "experiments" / "results" / "large_log.json"
CHUNK = 2_000_000


def generated(rows: int, users: int, items: int) -> Iterator[Chunk]:
    """Yield chunks of a log: users alike, items by a power law, targets of one hidden factor and noise."""
    hidden = np.random.default_rng(0).normal(size=items).astype(np.float32)
    for first in range(0, rows, CHUNK):
        rng = np.random.default_rng([1, first])
        count = min(CHUNK, rows - first)
        user = rng.integers(0, users, count, dtype=np.int32)
        item = (items * rng.random(count) ** 3).astype(np.int32)
        taste = np.sin(user.astype(np.float32))
        yield user, item, taste * hidden[item] + rng.standard_normal(count, np.float32)


class Memory:
    """The largest anonymous memory of this process, in bytes, while the context is open."""

    def __enter__(self) -> "Memory":
        """Begin to look, ten times a second."""
        self.most, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            status = Path("/proc/self/status").read_text(encoding="ascii")
            [line] = [line for line in status.splitlines() if line.startswith("RssAnon")]
            self.most = max(self.most, 1024 * int(line.split()[1]))


def main() -> None:
    """Write the log, train on it, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000_000, help="of the log (default: %(default)s)")
    parser.add_argument("--users", type=int, default=2_000_000, help="of the log (default: %(default)s)")
    parser.add_argument("--items", type=int, default=1_000_000, help="of the log (default: %(default)s)")
    parser.add_argument("--outer-steps", type=int, default=1000, help="to train (default: %(default)s)")
    options = parser.parse_args()
    folder = Path(mkdtemp(prefix="metajax-large-log-"))
    try:
        write_json(RESULT, found := measure(options, folder))
    finally:
        rmtree(folder)
    for name, value in found.items():
        print(f"{name}: {value:,}" if isinstance(value, int | float) else f"{name}: {value}")


def measure(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Return what RESULT holds."""
    with Memory() as writing:
        started = time.perf_counter()
        chunks = lambda: generated(options.rows, options.users, options.items)  # noqa: E731
        write_histories(folder / "log", chunks, num_users=options.users)
        seconds_writing = time.perf_counter() - started
    columns = (Column("id", "item", "category", options.items + 1),)
    model = matrix_factorization(columns, factors=16)
    with Memory() as training:
        train(
            ridge(model, squared_error(), item_width=item_width(model, columns)),
            LazyAdam(rows="adagrad", learning_rate=0.02).build(options.outer_steps),
            histories=open_histories(folder / "log"),
            catalogue=catalogue({}, {"id": np.arange(1, options.items + 1, dtype=np.int32)}),
            episodes=EpisodeConfig(),
            config=TrainingConfig(outer_steps=options.outer_steps, tasks_per_step=64, validate_every=200),
            validate=None,
            folder=folder / "run",
        )
    lines = read_log(folder / "run")
    return {
        "rows": options.rows,
        "users": options.users,
        "items": options.items,
        "bytes_of_the_log": sum(path.stat().st_size for path in (folder / "log").iterdir()),
        "seconds_writing": round(seconds_writing, 1),
        "most_bytes_writing": writing.most,
        "most_bytes_training": training.most,
        "tasks_per_second": lines[-1]["tasks_per_second"],
        "first_loss": lines[0]["loss"],
        "last_loss": lines[-1]["loss"],
        "commit": commit(),
        "jax": jax.__version__,
    }


if __name__ == "__main__":
    main()
