"""CrypTen with two parties, once with its triples ready and once making them inside the clock.

Its default provider stands in for a dealer: the first party draws whole triples, the second derives a share
from a common seed, so that nothing travels, and the first party could open everything.  CrypTen has no sort:
this is a bitonic network written on it.
"""

from __future__ import annotations

import os
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

# CrypTen 0.4.1 imports, for its converter of models alone, a module that later versions of torch have moved.
sys.modules["torch.onnx._internal.registration"] = types.ModuleType("torch.onnx._internal.registration")
sys.modules["torch.onnx._internal.registration"].registry = None  # type: ignore[attr-defined]

import crypten  # noqa: E402

from benchmarks import driver  # noqa: E402
from benchmarks.works import WORKS, Arrays, mlp  # noqa: E402


def _sort(x: Any) -> Any:
    """Batcher's bitonic network: each step compares the pairs at one distance, all at once."""
    size = x.size(0)
    length = 1 << (size - 1).bit_length()
    if length > size:
        x = crypten.cat([x, crypten.cryptensor(torch.full((length - size,), 1 << 40), precision=0)])
    index = torch.arange(length)
    block = 2
    while block <= length:
        distance = block // 2
        while distance:
            low = index[(index & distance) == 0]
            up = (low & block) == 0  # blocks that ascend
            first, second = torch.where(up, low, low + distance), torch.where(up, low + distance, low)
            a, b = x[first], x[second]
            swap = (b < a) * (b - a)
            merged = crypten.cat([a + swap, b - swap])
            x = merged[torch.argsort(torch.cat([first, second]))]
            distance //= 2
        block *= 2
    return x[:size]


OPERATIONS = {
    "mul": lambda x, y: x * y,
    "fxmul": lambda x, y: x * y,
    "lt": lambda x, y: x < y,
    "matmul": lambda x, y: x.matmul(y),
    "sort": _sort,
    "div": lambda x, y: x / y,
    "exp": lambda x: x.exp(),
    "sigmoid": lambda x: x.sigmoid(),
    "rsqrt": lambda x: x.inv_sqrt(),
    "mlp": lambda *arrays: mlp(lambda x: x.relu(), *arrays),
}


def measure(name: str, arrays: Arrays, runs: int) -> Iterator[driver.Measured]:
    with tempfile.TemporaryDirectory() as folder:
        done = driver.together(
            _party, [f"file://{Path(folder) / 'meet'}"] * 2, [name] * 2, [arrays] * 2, [runs] * 2
        )
    for preprocessing, seconds, result in done[0]:
        yield driver.Measured("CrypTen", 2, preprocessing, seconds, result)


def _party(rank: int, meet: str, name: str, arrays: Arrays, runs: int) -> list[tuple[str, list[float], Any]]:
    os.environ.update(
        RANK=str(rank), WORLD_SIZE="2", RENDEZVOUS=meet, DISTRIBUTED_BACKEND="gloo", GLOO_SOCKET_IFNAME="lo"
    )
    crypten.init()
    secrets = [
        crypten.cryptensor(torch.from_numpy(a), src=i % 2, precision=0 if a.dtype == np.int64 else None)
        for i, a in enumerate(arrays)
    ]
    barrier = crypten.communicator.get().barrier

    def once() -> Any:
        return OPERATIONS[name](*secrets)

    made = [("in_loop", *driver.clock(runs, barrier, once))]
    crypten.trace(True)  # notes which triples the work asks for
    once()
    crypten.trace(False)
    made.append(("received", *driver.clock(runs, barrier, once, before=crypten.fill_cache)))
    return [
        (preprocessing, seconds, _open(result, whole=WORKS[name].exact))
        for preprocessing, seconds, result in made
    ]


def _open(result: Any, *, whole: bool) -> Any:
    """The number that the shares add up to.
    CrypTen's own decoder is off by one for some negative numbers.
    """
    raw = result.share.clone()
    raw = crypten.communicator.get().all_reduce(raw)
    scale = result.encoder.scale
    return (raw // scale if whole else raw.double() / scale).numpy()


if __name__ == "__main__":
    driver.main(("crypten", "torch"), OPERATIONS, measure)
