"""Training checkpoints: written by orbax, proven whole by a sha256 manifest before they are used.

A checkpoint without its manifest was being written when the process died: it is passed over, as is one of which a byte
was altered, and the one before it is used. Of several processes each writes its own part of sharded arrays, on storage
that all of them share; the manifest is written last, by one of them.
"""

import math
from pathlib import Path
from typing import Any

from metajax.errors import StorageError
from metajax.files import MANIFEST, check_manifest, write_manifest
from metajax.training.distributed import by_writer


class Checkpoints:
    """The newest checkpoints of a run, in `folder`/STEP."""

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        """Open (and make) the folder; `keep` checkpoints are kept."""
        import orbax.checkpoint as ocp  # takes 25 MB, which a service does not need

        self.folder = folder.resolve()
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def save(self, step: int, tree: Any) -> None:
        """Write a pytree of arrays as checkpoint `step`; when this returns it is on disk and has its manifest."""
        import orbax.checkpoint as ocp

        self._manager.save(step, args=ocp.args.StandardSave(tree), force=True)
        self._manager.wait_until_finished()
        by_writer(lambda: write_manifest(self.folder / str(step)))

    def restore(self, like: Any) -> tuple[int, Any] | None:
        """Return (step, tree) of the newest whole checkpoint, or None if there is none yet.

        Args:
            like: a tree of arrays with the shapes and types to restore.

        Raises:
            StorageError: if there are finished checkpoints, but every one was altered; the message says how.
        """
        import orbax.checkpoint as ocp

        step = by_writer(self._newest_whole)
        if math.isnan(step):
            return None
        return int(step), self._manager.restore(int(step), args=ocp.args.StandardRestore(like))

    def _newest_whole(self) -> int | None:
        refused: StorageError | None = None
        for step in sorted(self._manager.all_steps(), reverse=True):
            if not (self.folder / str(step) / MANIFEST).is_file():
                continue
            try:
                check_manifest(self.folder / str(step))
            except StorageError as error:
                refused = refused or error
                continue
            return step
        if refused:
            raise StorageError(f"No checkpoint in {self.folder} is whole: {refused} Train again without --resume.")
        return None

    def discard_after(self, step: int) -> None:
        """Delete checkpoints newer than `step`, -1 for all: those that `restore` passed over, to be written again."""
        for newer in self._manager.all_steps():
            if newer > step:
                self._manager.delete(newer)

    def close(self) -> None:
        """Release the manager."""
        self._manager.close()
