"""Several processes as one run: JAX's multi-controller runtime, with one writer of logs and files.

Every process runs the same program on the same data; process 0 writes. In a single process all of this does nothing.
"""

import subprocess  # nosec B404 # its one command is fixed
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding

from metajax.errors import ConfigError, DataError, MetajaxError, StorageError, TrainingError
from metajax.types import PyTree

LOST = (
    "metajax: this process had to end because another one is gone. Start all of them again with --resume: they go on "
    "from the last checkpoint."
)
SIGNS = ("gloo", "nccl", "unavailable", "coordination service", "heartbeat", "deadline_exceeded", "connection")
"""Words of the errors that a collective raises, in lower case, when another process is gone."""


@contextmanager
def processes(
    coordinator: str | None = None, count: int | None = None, process_id: int | None = None, *, heartbeat: int = 30
) -> Iterator[None]:
    """Run the block as one of several processes that train together; enter before anything is computed.

    What is None comes from the cluster: JAX_COORDINATOR_ADDRESS, Slurm, Open MPI, Kubernetes or a TPU's metadata.

    Args:
        coordinator: "host:port" of process 0, which must be free there.
        count: how many there are.
        process_id: of this one, from 0.
        heartbeat: seconds of silence after which a process counts as dead, and all others end.

    Raises:
        ConfigError: if a value is neither given nor found, or the others did not come.
        TrainingError: if another process is gone; where the runtime ends this process before Python can, the words of
            `last_words` are all that is said.
    """
    with last_words(LOST):
        _join(coordinator, count, process_id, heartbeat)
        try:
            yield
        except (ValueError, RuntimeError) as error:  # jaxlib raises both
            if not any(word in str(error).lower() for word in SIGNS):
                raise
            raise TrainingError(f"{LOST} (process {jax.process_index()}: {str(error).splitlines()[0]})") from error
        jax.distributed.shutdown()


@contextmanager
def last_words(message: str) -> Iterator[None]:
    """Have `message` written to stderr if this process is killed, or aborts, within the block.

    A process of its own waits for the end of a pipe: nothing within this one can speak after an abort.
    """
    waits = "import sys; sys.stdin.read() or print(sys.argv[1], file=sys.stderr)"
    command = [sys.executable, "-I", "-S", "-c", waits, message]
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # nosec B603 # of no input
    try:
        yield
    finally:
        watcher.communicate(b"alive")


def _join(coordinator: str | None, count: int | None, process_id: int | None, heartbeat: int) -> None:
    jax.config.update("jax_enable_preemption_service", False)  # SIGTERM is ours: see training/loop.py
    try:
        jax.distributed.initialize(
            coordinator,
            count,
            process_id,
            heartbeat_timeout_seconds=heartbeat,
            shutdown_timeout_seconds=heartbeat,
        )
    except (ValueError, RuntimeError) as error:
        raise ConfigError(
            f"The processes of --distributed did not meet: {error} Give --coordinator HOST:PORT, --processes N and "
            "--process-id I to each of them, or start them by Slurm, Open MPI, Kubernetes or on a TPU slice."
        ) from error


def is_writer() -> bool:
    """Say whether this process writes logs, checkpoints' manifests and artifacts: process 0 does."""
    return jax.process_index() == 0


def any_process(claim: bool) -> bool:
    """Say in every process whether the claim holds in one of them."""
    return bool(np.any(multihost_utils.process_allgather(np.uint8(claim))))


def by_writer(action: Callable[[], float | None]) -> float:
    """Let the writer alone act, while the others wait.

    Returns:
        What the action returned, in every process and to the last bit; NaN for None.

    Raises:
        MetajaxError: what the action raised in the writer; elsewhere a StorageError that points there.
    """
    result, refusal = None, None
    if is_writer():
        try:
            result = action()
        except MetajaxError as error:
            refusal = error
    if any_process(refusal is not None):
        raise refusal or StorageError("Process 0 has refused the run; its message says why and how to mend it.")
    sent = np.frombuffer(np.float64(np.nan if result is None else result).tobytes(), np.uint8)  # float64s get rounded
    received = np.asarray(multihost_utils.broadcast_one_to_all(sent), np.uint8)
    return float(np.frombuffer(received.tobytes())[0])


def place(tree: PyTree, sharding: NamedSharding) -> PyTree:
    """Put host arrays, which all processes have alike, on the devices of a mesh.

    Raises:
        DataError: if the processes have read different data.
    """
    tree = jax.tree.map(np.asarray, tree)
    if jax.process_count() > 1:
        mark = 0
        for leaf in jax.tree.leaves(tree):
            mark = zlib.crc32(np.ascontiguousarray(leaf).tobytes(), mark)
        marks = np.ravel(multihost_utils.process_allgather(np.uint32(mark)))
        if others := np.flatnonzero(marks != marks[0]).tolist():
            raise DataError(
                f"Process(es) {others} have read other data, or other choices, than process 0. "
                "Start all of them with the same command, on the same files."
            )
    return jax.tree.map(lambda leaf: jax.make_array_from_callback(leaf.shape, sharding, leaf.__getitem__), tree)


def whole(tree: PyTree) -> PyTree:
    """Gather sharded arrays on the first device of this process; all processes must ask for it at once."""
    if jax.process_count() > 1:
        tree = multihost_utils.process_allgather(tree, tiled=True)
    return jax.device_put(tree, jax.local_devices()[0])
