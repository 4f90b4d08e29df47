"""Seconds of compilation, and the memory that the compiled program needs.

One epoch of MNIST as one program, by fnnet and by jax.grad + optax in the same scan, compiled in turn from nothing
(no cache), for networks of 2, 6 and 20 layers.

    python -m experiments.benchmarks.compiling
"""

import dataclasses
import gc
import statistics
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import fnnet
from experiments import command_line
from experiments.benchmarks import results, systems

try:
    import optax

    from experiments.benchmarks.peers.jax_scan import epochs_of
except ModuleNotFoundError as error:
    raise SystemExit(systems.missing(error)) from None

NETWORKS = {
    "784-128-64-10": (784, 128, 64, 10),
    "2 layers": (784, 128, 10),
    "6 layers": (784, *(128,) * 5, 10),
    "20 layers": (784, *(128,) * 19, 10),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Compile both versions of several networks."""

    networks: tuple[str, ...] = tuple(NETWORKS)
    """Which ones."""
    rounds: int = 9
    """Compilations of each version, in turn."""
    batch_size: int = 128
    """Rows of one batch."""
    results: Path = results.FOLDER
    """Folder of the measurements."""


def measure(config: Config) -> None:
    """Medians of every network, written down."""
    for name in config.networks:
        pair(NETWORKS[name], config.batch_size)  # the first compilation of a process includes one-time costs
        pairs = [pair(NETWORKS[name], config.batch_size) for _ in range(config.rounds)]
        measured: dict[str, Any] = {"rounds": config.rounds, "batch_size": config.batch_size}
        for i, version in enumerate(("fnnet", "jax.grad + optax, scan")):
            measured[version] = {what: statistics.median(p[i][what] for p in pairs) for what in pairs[0][0]}
        for what in pairs[0][0]:
            measured[f"{what}_ratio"] = statistics.median(a[what] / b[what] for a, b in pairs)
        results.add(config.results, "compiling", name, measured)
        shown = ", ".join(f"{what} {measured[f'{what}_ratio']:.3f}" for what in pairs[0][0])
        print(f"{name}: fnnet over jax.grad + optax: {shown}", flush=True)


def pair(sizes: tuple[int, ...], batch_size: int, rows: int = 60_000) -> tuple[dict, dict]:
    """Seconds and bytes of fnnet's program and of the autodiff version's; nothing is run."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    x, y = jax.ShapeDtypeStruct((rows, 784), jnp.uint8), jax.ShapeDtypeStruct((rows,), jnp.int32)
    model, optimizer = fnnet.mlp(sizes, scale=1 / 255), fnnet.Adam(1e-3)
    state = jax.eval_shape(lambda key: fnnet.init_state(model, optimizer, key), key)

    def ours(state: Any, data: fnnet.Batch, shuffle: Any) -> Any:
        return fnnet.train(model, optimizer, state, data, epochs=1, batch_size=batch_size, shuffle=shuffle)

    peer_optimizer = optax.adam(1e-3)
    params = [{"w": p.w, "b": p.b} for p in state.params if p != ()]
    opt_state = jax.eval_shape(peer_optimizer.init, params)
    theirs = epochs_of(peer_optimizer, batch_size)
    first = jax.ShapeDtypeStruct((), jnp.int32)
    return (
        _compiled(jax.jit(ours), state, fnnet.Batch(x, y), key),
        _compiled(theirs, params, opt_state, x, y, key, first),
    )


def _compiled(f: Any, *args: Any) -> dict[str, float]:
    jax.clear_caches()
    gc.collect()  # else one version frees what the other left
    start = time.perf_counter()
    program = f.lower(*args).compile()
    seconds, memory = time.perf_counter() - start, program.memory_analysis()
    return {"seconds": seconds, "temporary_bytes": memory.temp_size_in_bytes}


if __name__ == "__main__":
    command_line.run(measure, Config, __doc__)
