"""Traced programs that are kept: a process that runs what another has run before traces nothing.

XLA's cache keeps what compiling came to, but to find it there takes the traced program, and tracing was most of the
time until a service was ready, or a run had taken its first step. What is kept here is that program, as StableHLO in
the user's cache, under a name that says all it depends on: what the caller names, the shapes, JAX's own settings, the
platform, every line of metajax and the versions of the libraries that it traces.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from metajax.files import write_bytes
from metajax.training.compiling import compiler_options

Program = Callable[..., Any]
TRACED = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy")
"""Packages whose code makes a traced program."""
SETTINGS = ("jax_enable_x64", "jax_default_prng_impl", "jax_default_matmul_precision", "jax_numpy_dtype_promotion")


def compiled(
    function: Program, arguments: Sequence[Any], *, result: Any, path: Path | None, once: bool = False
) -> Program:
    """Compile a function.

    Args:
        function: of pytrees of arrays.
        arguments: of the shapes and types that it will be called with.
        result: structure of what it returns.
        path: where its trace is kept, or will be; None keeps nothing.
        once: it runs once.
    """
    leaves, structure = jax.tree.flatten(tuple(arguments))
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]

    def flat(*leaves: Any) -> list[Any]:
        return jax.tree.leaves(function(*jax.tree.unflatten(structure, leaves)))

    run = jax.jit(traced(flat, shapes, path)).lower(*shapes).compile({**compiler_options(once=once)})
    return lambda *arguments: jax.tree.unflatten(result, run(*jax.tree.leaves(arguments)))


def place(folder: Path, of: str, name: str) -> Path:
    """Return where a program is kept below a folder.

    Args:
        folder: of all kept programs.
        of: all that the program depends on and that is not metajax's code: a model's version, a run's choices.
        name: of the program among those, with the shapes of its arguments.
    """
    made_by = [f"{package} {version(package)}" for package in TRACED]
    settings = [f"{setting} {getattr(jax.config, setting)}" for setting in SETTINGS]
    depends_on = "\n".join([of, name, *made_by, *settings, jax.default_backend(), _code()])
    return folder / f"{hashlib.sha256(depends_on.encode()).hexdigest()[:32]}.stablehlo"


def traced(function: Program, shapes: Sequence[jax.ShapeDtypeStruct], path: Path | None) -> Program:
    """Return what is kept of a function of arrays, or keep it; the function itself where that cannot be.

    Args:
        function: of arrays; what it returns is made of arrays, lists and dicts.
        shapes: of its arguments.
        path: from `place`; None keeps nothing.
    """
    if path is None:
        return function
    from jax import export

    try:
        return export.deserialize(bytearray(path.read_bytes())).call
    except Exception:  # there is none, or it is not whole
        try:
            made = export.export(jax.jit(function))(*shapes)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, bytes(made.serialize()))
        except (OSError, ImportError, NotImplementedError, ValueError):  # a full disk, or a program of another kind
            return function
        return made.call  # so that XLA's cache has what the next process will ask it for


@cache
def _code() -> str:
    """Return a hash of all of metajax's code."""
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()
