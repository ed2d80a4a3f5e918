"""The limits of the machine, measured in the same run, and the arithmetic of a program."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.clock import Call
from benchmarks.ours import waiting
from metajax.training.compiling import compiler_options

GEMM = 1536
"""Rows and columns of the matrices whose product is the peak of arithmetic."""
COPY = 1 << 25
"""float32 numbers of the array whose copy is the peak of bandwidth: 128 MB, beyond any cache."""
GEMM_FLOPS = 2 * GEMM**3
COPY_BYTES = 2 * 4 * COPY


def peaks() -> dict[str, Call]:
    """Return the calls whose fastest is the peak: products of matrices, and copies of an array that is long."""
    square = jnp.ones((GEMM, GEMM))
    source = np.ones(COPY, np.float32)
    there = np.empty_like(source)
    calls: dict[str, Call] = {
        "peak: jax matrix product": waiting(jax.jit(jnp.matmul), square, square),
        "peak: numpy copy": lambda: np.copyto(there, source),
        "peak: jax copy": waiting(jax.jit(jnp.negative), jnp.asarray(source)),
    }
    try:
        import torch
    except ImportError:
        return calls
    theirs, source_of_torch = torch.ones(GEMM, GEMM), torch.from_numpy(source)
    target = torch.empty_like(source_of_torch)
    calls["peak: torch matrix product"] = lambda: theirs @ theirs
    calls["peak: torch copy"] = lambda: target.copy_(source_of_torch)
    return calls


@contextmanager
def _unrolled() -> Iterator[None]:
    with mock.patch.object(jax.lax, "scan", partial(jax.lax.scan, unroll=True)):
        yield


def arithmetic(function: Callable, *arguments: object) -> float:
    """Return the floating-point operations of a function compiled as training compiles, by XLA's cost analysis.

    XLA counts the body of a loop once, whatever it does, so that `jax.lax.scan` is unrolled for the counting.
    """
    with _unrolled():
        counted = jax.jit(lambda *args: function(*args), compiler_options=compiler_options())
        analysis = counted.lower(*arguments).compile().cost_analysis()
    return float(analysis["flops"])
