"""How long, how much memory and how near to what the machine can do: measured in one process, runs interleaved."""

from __future__ import annotations

import ctypes
import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from demix_jax.gradients.factored import Outer, RowGradients
from demix_jax.gradients.per_example import factored_gradients


class Run(NamedTuple):
    """One method's runs. seconds: median. spread: slowest over fastest. result: f[N, M].

    first: seconds of the uncounted first run, compilation included; None where nothing is compiled.

    memory: bytes at the peak beyond what there was before and the result; None where the system does not tell.
    """

    seconds: float
    spread: float
    first: float | None
    memory: int | None
    result: np.ndarray


def interleaved(methods: dict[str, Callable[[], Any]], repeats: dict[str, int], warm: set[str]) -> dict[str, Run]:
    """Run the methods in turn, each as often as `repeats` says; those in `warm` once more before, uncounted.

    Memory is measured in a run of its own, as watching it makes the process give memory back that the next run would
    have to fetch again; in the only one where a method runs once.
    """
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    memory: dict[str, int | None] = {}
    first: dict[str, float] = {}
    results = {}
    for name in sorted(warm & set(methods)):
        start = time.perf_counter()
        _finished(methods[name]())
        first[name] = time.perf_counter() - start
    for name, method in methods.items():
        if repeats[name] > 1:
            watch = PeakMemory()
            memory[name] = watch.beyond(_finished(method()).nbytes)
    for turn in range(max(repeats[name] for name in methods)):
        for name, method in methods.items():
            if turn >= repeats[name]:
                continue
            watch = None if name in memory else PeakMemory()
            time.sleep(0.5)  # threads of the method before still wait for work at full load for a while
            start = time.perf_counter()
            output = _finished(method())
            seconds[name].append(time.perf_counter() - start)
            results[name] = on_host(output)
            if watch is not None:
                memory[name] = watch.beyond(results[name].nbytes)
            del output
    return {
        name: Run(statistics.median(times), max(times) / min(times), first.get(name), memory[name], results[name])
        for name, times in seconds.items()
    }


def _finished(output: Any) -> Any:
    """`output`, an array or a tensor, when its device has computed it."""
    if hasattr(output, "is_cuda") and output.is_cuda:
        import torch

        torch.cuda.synchronize()
        return output
    return jax.block_until_ready(output)


def on_host(output: Any) -> np.ndarray:
    """An array, or a tensor of PyTorch, wherever it is."""
    return output.cpu().numpy() if hasattr(output, "is_cuda") else np.asarray(output)


class PeakMemory:
    """The process's peak of resident memory since this object was made (Linux on a CPU; elsewhere unknown)."""

    def __init__(self) -> None:
        gc.collect()
        self._before = None
        if jax.default_backend() != "cpu":  # what counts is the device's memory
            return
        try:
            ctypes.CDLL(None).malloc_trim(0)  # give freed memory back, or reuse of it would not show
            Path("/proc/self/clear_refs").write_text("5")
            self._before = status_bytes("VmRSS")
        except (OSError, AttributeError):
            pass

    def beyond(self, output_bytes: int) -> int | None:
        """Bytes at the peak beyond what was there before and the output."""
        if self._before is None:
            return None
        return max(0, status_bytes("VmHWM") - self._before - output_bytes)


def status_bytes(field: str) -> int:
    """A size of this process that the system keeps, such as VmRSS, in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


def sgemm_size() -> int:
    """Rows and columns of a matrix product that is large for this machine."""
    return 2048 if jax.default_backend() == "cpu" else 8192


def sgemm_rate(repeats: int = 5) -> float:
    """Flops per second of a large f32 matrix product, the best of `repeats`."""
    size = sgemm_size()
    left = jax.random.normal(jax.random.key(0), (size, size))
    product = jax.jit(lambda x: jnp.matmul(x, x, precision="highest"))
    product(left).block_until_ready()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        product(left).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def ghost_flops(loss: Any, params: Any, train: Any, valid: Any) -> int:
    """Flops per pair of samples of the inner products of gradients, each weight by the cheaper of the two ways."""
    left, right = (
        factored_gradients(loss, params, jax.tree.map(lambda leaf: leaf[:1], batch)) for batch in (train, valid)
    )
    return sum(_block_flops(*pair) for pair in zip(left.blocks, right.blocks, strict=True))


def _block_flops(left: Any, right: Any) -> int:
    if isinstance(left, Outer) and isinstance(right, Outer):
        blocks, inputs, outputs = left.layout.matrix
        ghost = 2 * blocks * left.positions * right.positions * (inputs + outputs + 1)
        return min(ghost, 2 * blocks * inputs * outputs)
    if isinstance(left, RowGradients) and isinstance(right, RowGradients):
        _, num_rows, width = left.layout.matrix
        return 2 * min(left.positions * right.positions, num_rows) * width
    return 2 * sum(layout.size for layout in left.layouts)


def num_parameters(params: Any) -> int:
    """P."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
