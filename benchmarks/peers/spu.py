"""SecretFlow SPU: ABY3 with three parties, SEMI2K with two (triples from the first party, made inside the
clock).

Defaults throughout: FM64, 18 fractional bits.  The clients' part, sharing and opening, is this process's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from spu import api, libspu
from spu.utils import frontend

from benchmarks import driver
from benchmarks.works import Arrays, mlp

OPERATIONS = {
    "mul": lambda x, y: x * y,
    "fxmul": lambda x, y: x * y,
    "lt": lambda x, y: x < y,
    "matmul": lambda x, y: x @ y,
    "sort": jnp.sort,
    "div": lambda x, y: x / y,
    "exp": jnp.exp,
    "sigmoid": jax.nn.sigmoid,
    "rsqrt": jax.lax.rsqrt,
    "mlp": lambda *arrays: mlp(lambda x: jnp.maximum(x, 0), *arrays),
}
jax.config.update("jax_enable_x64", True)  # whole numbers of 64 bits
Packed = tuple[bytes, list[bytes]]  # a share as it travels between processes


def measure(name: str, arrays: Arrays, runs: int) -> Iterator[driver.Measured]:
    names = [f"in{i}" for i in range(len(arrays))]
    secret = libspu.Visibility.VIS_SECRET
    program, _ = frontend.compile(
        frontend.Kind.JAX, OPERATIONS[name], arrays, {}, names, [secret] * len(arrays), lambda outs: ["out"]
    )
    for protocol, parties in (("ABY3", 3), ("SEMI2K", 2)):
        io = api.Io(parties, _config(protocol))
        shares = [io.make_shares(np.ascontiguousarray(a), secret) for a in arrays]
        mine = [[_pack(s[rank]) for s in shares] for rank in range(parties)]
        done = driver.together(
            _party,
            mine,
            [protocol] * parties,
            [driver.free_ports(parties)] * parties,
            [program.SerializeToString()] * parties,
            [runs] * parties,
        )
        yield driver.Measured(
            f"SPU {protocol}",
            parties,
            "none" if protocol == "ABY3" else "in_loop",
            done[0][0],
            io.reconstruct([_unpack(packed) for _, packed in done]),
        )


def _party(
    rank: int, inputs: list[Packed], protocol: str, ports: list[int], program: bytes, runs: int
) -> tuple[list[float], Packed]:
    description = libspu.link.Desc()
    description.recv_timeout_ms = 600_000
    for i, port in enumerate(ports):
        description.add_party(f"party-{i}", f"127.0.0.1:{port}")
    link = libspu.link.create_brpc(description, rank)
    runtime = api.Runtime(link, _config(protocol))
    executable = libspu.Executable()
    executable.ParseFromString(program)
    for key, packed in zip(executable.input_names, inputs, strict=True):
        runtime.set_var(key, _unpack(packed))
    seconds, _ = driver.clock(runs, link.barrier, lambda: runtime.run(executable))
    result = _pack(runtime.get_var("out"))
    link.barrier()  # nobody hangs up on a party that still reads
    link.stop_link()
    return seconds, result


def _config(protocol: str) -> Any:
    return libspu.RuntimeConfig(protocol=getattr(libspu.ProtocolKind, protocol), field=libspu.FieldType.FM64)


def _pack(share: Any) -> Packed:
    return share.meta, list(share.share_chunks)


def _unpack(packed: Packed) -> Any:
    share = libspu.Share()
    share.meta, share.share_chunks = packed
    return share


if __name__ == "__main__":
    driver.main(("spu",), OPERATIONS, measure)
