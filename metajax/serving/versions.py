"""The versions of the model that a service holds, and which of them answers whom."""

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from metajax.errors import MetajaxError, StorageError
from metajax.recommender import artifact_folder
from metajax.serving.packing import Packed
from metajax.serving.problems import RequestError
from metajax.serving.schemas import ModelInfo, Models
from metajax.serving.settings import Settings
from metajax.serving.version import Version, manifest_hash

Result = TypeVar("Result")
CONTROL, TREATMENT = "a", "b"


class Versions:
    """One version is active; another may be the other arm of a split, or run in the shadow.

    What answers is one attribute that is replaced: a request takes it once, and has one version throughout.
    """

    def __init__(self, first: Version, settings: Settings, *, load: Callable[[Path], Version] = Version.load) -> None:
        """Hold the first version, which is not compiled yet; `load` reads others."""
        self.active = first
        self.previous: Version | None = None
        self.shadow: Version | None = None
        self.treatment: Version | None = None
        self.share = 0.0
        self.is_ready = False
        self.loading: str | None = None
        self.last_error: str | None = None
        self._held = {first.name: first}
        self._settings = settings
        self._load = load
        self._lock = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metajax-load")

    def of(self, user: str | None) -> tuple[Version, str]:
        """Return who answers a user, and the arm; a user stays in it while the share stays."""
        if self.treatment is not None and user is not None and _draw(user) < self.share:
            return self.treatment, TREATMENT
        return self.active, CONTROL

    async def warm_up_first(self) -> None:
        """Compile the first version; then the service is ready."""
        await self._beside(_checked, self.active, self._settings, self._settings.owns_process)
        self.is_ready = True

    async def load(self, path: str) -> Version:
        """Check, load and compile a version, beside those that answer.

        Raises:
            RequestError: if it lies elsewhere than it may, or is not whole: then nothing changes.
        """
        async with self._lock:
            self.loading = path
            try:
                folder = self._permitted(path)
                name = await self._beside(manifest_hash, folder)
                if name not in self._held:
                    self._to_be_let_go()  # before the work of loading
                    version = await self._beside(self._loaded, folder)
                    if (idle := self._to_be_let_go()) is not None:
                        del self._held[idle]
                    self._held[name] = version
                self.last_error = None
                return self._held[name]
            except MetajaxError as error:
                self.last_error = str(error)
                raise error if isinstance(error, RequestError) else RequestError(400, "refused", str(error)) from error
            finally:
                self.loading = None

    def promote(self, name: str) -> None:
        """Let a version answer; the one that did is kept for `rollback`."""
        version = self._named(name)
        if version is not self.active:
            self.previous, self.active = self.active, version
        if self.treatment is version:
            self.treatment, self.share = None, 0.0

    def rollback(self) -> None:
        """Let the previous version answer again.

        Raises:
            RequestError: if there is none.
        """
        if self.previous is None:
            raise RequestError(400, "no_previous", "No version was active before this one.")
        self.promote(self.previous.name)

    def run_in_shadow(self, name: str | None) -> None:
        """Let a version run beside the active one and be compared with it; None ends that."""
        self.shadow = None if name is None else self._named(name)

    def split(self, name: str | None, share: float) -> None:
        """Let a version answer a share of the users; None ends that."""
        self.treatment, self.share = (None, 0.0) if name is None else (self._named(name), share)

    def describe(self) -> Models:
        """List what is held."""
        roles = {"active": self.active, "previous": self.previous, "shadow": self.shadow, "split": self.treatment}
        models = [
            ModelInfo(
                version=version.name,
                path=None if version.folder is None else str(version.folder),
                items=len(version.catalogue),
                roles=[role for role, one in roles.items() if one is version],
                training=version.artifact.training,
            )
            for version in self._held.values()
        ]
        return Models(models, self.share, self.loading, self.last_error)

    def close(self) -> None:
        """Load no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _beside(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Call a function in the thread that loads."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def _named(self, name: str) -> Version:
        if name not in self._held:
            held = ", ".join(self._held)
            raise RequestError(400, "unknown_version", f"There is no version {name!r}; loaded are {held}.")
        return self._held[name]

    def _permitted(self, path: str) -> Path:
        root = (self._settings.models or Path.cwd()).resolve()
        folder = (root / path).resolve()
        if not folder.is_relative_to(root):
            raise RequestError(400, "refused", f"Models are loaded from below {root} only.")
        return artifact_folder(folder)

    def _to_be_let_go(self) -> str | None:
        """Return which version must go before one more is held; None if there is room."""
        if len(self._held) < self._settings.max_versions:
            return None
        in_use = (self.active, self.previous, self.shadow, self.treatment)
        idle = [name for name, version in self._held.items() if version not in in_use]
        if not idle:
            raise RequestError(400, "too_many", f"All of the {len(self._held)} versions that are held are in use.")
        return idle[0]

    def _loaded(self, folder: Path) -> Version:
        return _checked(self._load(folder), self._settings)


def _checked(version: Version, settings: Settings, forget: bool = False) -> Version:
    """Compile a version, and see that what it predicts are numbers."""
    version.warm_up(settings.buckets, forget=forget, traces=settings.traces)
    nobody = Packed(1, settings.buckets.rows[0], len(version.catalogue))
    nobody.allowed[:] = True
    _, lists = version.answer(version.together([version.prior]), nobody, settings.buckets.lists[-1])
    if not (np.asarray(lists.positions)[0] >= 0).any():
        raise StorageError(f"The model {version.name} predicts no number for any item. Train it again.")
    return version


def _draw(user: str) -> float:
    """Return a number in [0, 1) that is always the same for a user."""
    return int.from_bytes(hashlib.sha256(b"split:" + user.encode()).digest()[:8]) / 2**64
