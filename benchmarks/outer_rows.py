"""One outer gradient of MeLU: value and gradient of the mean query loss of 32 tasks by all parameters."""

from collections.abc import Sequence
from functools import partial

import jax

from benchmarks import agreement, ours
from benchmarks.clock import Call, ratio, spread
from benchmarks.machine import GEMM_FLOPS, arithmetic
from benchmarks.rows import Group, Row, Timings, against_fastest, fastest
from benchmarks.workload import draw_tasks, load, pad
from metajax.types import PyTree, Task

TASKS = 32
WANTED = {1: {"bucketed": 3.0, "padded": 4.0, "loop": 15.0}, 5: {"bucketed": 2.5}}
NAMES = {"bucketed": "the best of torch", "padded": "torch.func, padded", "loop": "learn2learn's algorithm"}
GEMM_SHARE = 25.0
NO_TORCH = "torch is not installed: pip install torch (a build for CPU is enough), or pip install '.[bench]'"


def prepare(steps: int, *, compile_peers: bool = False) -> Group:
    """Compile our side and every peer, and check that they agree.

    Args:
        steps: inner steps.
        compile_peers: try torch.compile too, which takes minutes.

    Raises:
        DisagreementError: if a peer computes something else.
    """
    workload = load("melu", inner_steps=steps)
    learner = workload.learner
    meta_params = jax.jit(learner.init)(jax.random.key(0))
    buckets = draw_tasks(workload, TASKS)
    function = ours.outer_gradient(learner)
    mine = ours.values(function(meta_params, buckets))
    name = f"metajax, {_steps(steps)}, bucketed"
    calls: dict[str, Call] = {
        name: ours.waiting(function, meta_params, buckets),
        f"metajax, {_steps(steps)}, padded": ours.waiting(function, meta_params, [pad(buckets)]),
    }
    uncompiled = jax.value_and_grad(ours.meta_loss(learner))
    plain = jax.jit(uncompiled)
    calls[f"metajax, {_steps(steps)}, bucketed, XLA's default options"] = ours.waiting(plain, meta_params, buckets)
    copying = load("melu", gram_form=False, inner_steps=steps).learner
    by_copies = ours.outer_gradient(copying)
    copies = f"metajax, {_steps(steps)}, bucketed, a copy of the kernels a task"
    agreement.check(copies, mine, ours.values(by_copies(meta_params, buckets)))
    calls[copies] = ours.waiting(by_copies, meta_params, buckets)
    size = workload.experiment.learner.inner_step_size
    families: dict[str, list[str]] = {}
    skipped: dict[str, str] = {}
    try:
        import torch  # noqa: F401
    except ImportError:
        skipped[f"torch, {_steps(steps)}"] = NO_TORCH
    else:
        peers = _peers(steps, size, workload.columns, workload.offset, meta_params["model"], buckets, compile_peers)
        for (family, peer), (call, get) in peers.items():
            try:
                theirs = get()
            except Exception as error:
                if "torch.compile" not in peer:
                    raise
                skipped[peer] = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
                continue
            agreement.check(peer, mine, theirs)
            calls[peer] = call
            families.setdefault(family, []).append(peer)
    needed = arithmetic(jax.value_and_grad(ours.meta_loss(copying)), meta_params, buckets)
    operations = {name: arithmetic(uncompiled, meta_params, buckets), copies: needed}

    def rows(timings: Timings) -> list[Row]:
        found = [
            row
            for family, wanted in WANTED.get(steps, {}).items()
            for row in against_fastest(
                timings, f"{_steps(steps)}, against {NAMES[family]}", wanted, name, families.get(family, [])
            )
        ]
        found.append(Row(f"{_steps(steps)}, against a copy of the kernels a task", "x", 1.0,
                         ratio(timings[copies], timings[name]), name, copies))  # fmt: skip
        if steps == 1:
            found.append(_share(timings, name, operations[name], "1 inner step, arithmetic a second of the peak"))
            found.append(_share(timings, name, needed, "the same, by the arithmetic of copied kernels, which it saves"))
        return found

    return Group(calls, rows, skipped, operations)


def _steps(steps: int) -> str:
    return f"{steps} inner step{'s' if steps > 1 else ''}"


def _share(timings: Timings, name: str, operations: float, title: str) -> Row:
    """Hold our arithmetic a second against that of a large product of matrices in the same round."""
    peak = fastest(timings, ["peak: jax matrix product", "peak: torch matrix product"])
    assert peak is not None
    share = spread(100 * (operations / timings[name]) / (GEMM_FLOPS / timings[peak]))
    return Row(title, "%", GEMM_SHARE, share, name, peak, fraction=share.median / 100)


def _peers(
    steps: int,
    size: float,
    columns: Sequence,
    offset: float,
    params: PyTree,
    buckets: Sequence[Task],
    compile_too: bool,
) -> dict[tuple[str, str], tuple[Call, Call]]:
    """Return (family, name) -> the call that is timed, and one that returns its `Values`."""
    import torch

    from benchmarks import torch_model as on_torch
    from benchmarks import torch_peers as peers

    theirs = on_torch.to_torch(params, learn=True)
    batches = {"bucketed": [on_torch.to_torch(one) for one in buckets], "padded": [on_torch.to_torch(pad(buckets))]}
    func, told = partial(peers.torch_func, steps, size, offset), _steps(steps)

    def peer(total: peers.TotalLoss, layout: str) -> tuple[Call, Call]:
        def run() -> tuple:
            sums = [total(theirs["head"], on_torch.embed_tasks(columns, theirs, batch)) for batch in batches[layout]]
            loss = sum(sums) / TASKS
            return loss, on_torch.gradient(loss, theirs)

        return run, lambda: on_torch.values(run(), theirs)

    found = {
        ("bucketed", f"torch.func bucketed, {told}"): peer(func(), "bucketed"),
        ("bucketed", f"torch.func bucketed in chunks of 8, {told}"): peer(func(chunk=8), "bucketed"),
    }
    if steps > 1:  # a row of its own with one step; with more it is one of torch's ways
        found["bucketed", f"torch.func padded, {told}"] = peer(func(), "padded")
    if steps == 1:  # the Gram form is of one step, and what is slow with one needs no clock with more
        gram, loop = (make(steps, size, offset) for make in (peers.gram_form, peers.learn2learn))
        found |= {
            ("bucketed", f"torch by hand, Gram form, bucketed, {told}"): peer(gram, "bucketed"),
            ("padded", f"torch.func padded, {told}"): peer(func(), "padded"),
            ("padded", f"torch.func padded in chunks of 8, {told}"): peer(func(chunk=8), "padded"),
            ("loop", f"learn2learn's algorithm, {told}"): peer(loop, "bucketed"),
        }
    # small operations are often faster without torch's other threads, most of all beside other work
    found |= {
        (family, f"{name}, one thread"): (on_one_thread(run), get) for (family, name), (run, get) in found.items()
    }
    if compile_too:
        found["bucketed", f"torch.func bucketed, torch.compile, {told}"] = peer(torch.compile(func()), "bucketed")
    return found


def on_one_thread(run: Call) -> Call:
    """Let torch use one thread for a call."""
    from benchmarks.torch_peers import threads

    def call() -> object:
        with threads(1):
            return run()

    return call
