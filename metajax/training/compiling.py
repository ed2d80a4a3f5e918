"""What XLA is told when it compiles an outer step, or a program of the service."""

from functools import cache

import jax
import jax.numpy as jnp

DOTS_ONLY = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_DOT"}
"""Matrix products by the library YNNPACK, but sums over tasks by XLA itself.

By default XLA on CPU (jaxlib 0.10) hands sums to the library too, which takes most of a step there: the sum over tasks
of per-task kernels' gradients. MeLU's outer gradient of 32 tasks took 10.6 ms of processor time with the default and
6.3 ms so, with five inner steps 47 and 40, ridge's 3.8 and 2.7 (`make bench` has both, interleaved). The flagship's
lists of ten for eight users take .82 of the time.
"""


@cache
def compiler_options() -> dict[str, str]:
    """Return the options of `jax.jit`: none but on CPU, none that this jaxlib does not know."""
    if jax.default_backend() != "cpu":
        return {}
    try:
        jax.jit(lambda x: x + 1, compiler_options=DOTS_ONLY)(jnp.zeros(())).block_until_ready()
    except jax.errors.JaxRuntimeError:
        return {}
    return DOTS_ONLY
