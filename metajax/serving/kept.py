"""Compiled programs whose traces are kept: a process that serves what another has served before traces nothing.

XLA's cache keeps what compiling came to, but to find it there takes the traced program, and tracing was most of the
time until a service was ready. What is kept here is that program, as StableHLO in the user's cache, under a name that
says all it depends on: the version, the shapes, JAX, the platform and every line of metajax.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jax

import metajax
from metajax.files import write_bytes

Program = Callable[..., Any]


def compiled(function: Program, arguments: Sequence[Any], *, result: Any, path: Path | None) -> Program:
    """Compile a function.

    Args:
        function: of pytrees of arrays.
        arguments: of the shapes and types that it will be called with.
        result: structure of what it returns.
        path: where its trace is kept, or will be; None keeps nothing.
    """
    leaves, structure = jax.tree.flatten(tuple(arguments))
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]

    def flat(*leaves: Any) -> list[Any]:
        return jax.tree.leaves(function(*jax.tree.unflatten(structure, leaves)))

    traced = jax.jit(flat) if path is None else _kept(jax.jit(flat), shapes, path)
    run = traced.lower(*shapes).compile()
    return lambda *arguments: jax.tree.unflatten(result, run(*jax.tree.leaves(arguments)))


def place(folder: Path, version: str, name: str) -> Path:
    """Return where a program of a version is kept below a folder."""
    depends_on = f"{version} {name} {jax.__version__} {jax.default_backend()} {_code()}"
    return folder / f"{hashlib.sha256(depends_on.encode()).hexdigest()[:32]}.stablehlo"


def _kept(function: Any, shapes: Sequence[jax.ShapeDtypeStruct], path: Path) -> Any:
    """Return what is kept of a jitted function, or keep it."""
    from jax import export

    try:
        return jax.jit(export.deserialize(bytearray(path.read_bytes())).call)
    except Exception:  # there is none, or it is not whole
        try:
            made = export.export(function)(*shapes)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, bytes(made.serialize()))
        except (OSError, ImportError, NotImplementedError, ValueError):  # a full disk, or a program of another kind
            return function
        return jax.jit(made.call)  # so that XLA's cache has what the next process will ask it for


@cache
def _code() -> str:
    """Return a hash of all of metajax's code."""
    found = hashlib.sha256()
    for path in sorted(Path(metajax.__path__[0]).rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()
