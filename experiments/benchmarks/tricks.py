"""What each file of fnnet/_xla gains: the program as it is written there, and as it is written plainly, alternately.

    threefry, one_row
                  seconds to compile the initialization of a first network
    shuffling     seconds of a random permutation
    in_place      seconds of an epoch, and the temporary memory of its program
    compile_once  seconds of checking a network's gradients, nearly all of which the compiler takes
    channel_sums, interleaving, materialized
                  seconds of a training step of a convolutional network: two convolutions with max-pooling, for the
                  last residual blocks with batch norm (see `experiments.benchmarks.convolutions`)
    products      seconds of a training step of a dense network whose factors are rounded to bfloat16

    python -m experiments.benchmarks.tricks --tricks shuffling

Compilation is timed separately, without a cache; numbers are medians.
"""

import contextlib
import dataclasses
import functools
import gc
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args
from unittest import mock

import jax
import jax.numpy as jnp

import fnnet
from experiments import command_line
from experiments.benchmarks import convolutions, results
from experiments.benchmarks.timing import alternate, medians, seconds
from fnnet._xla import channel_sums as sums
from fnnet._xla import compile_once as once
from fnnet._xla import in_place as in_place_updates
from fnnet._xla import interleaving as windows
from fnnet._xla import materialized as memory
from fnnet._xla import one_row as rows
from fnnet._xla import products as matrix_products
from fnnet._xla import threefry as threefry_bits
from fnnet._xla.convolution_options import for_convolutions
from fnnet._xla.shuffling import shuffled

Name = Literal[
    "threefry",
    "one_row",
    "shuffling",
    "in_place",
    "compile_once",
    "channel_sums",
    "interleaving",
    "materialized",
    "products",
]
NETWORKS: dict[Name, convolutions.Name] = {
    "channel_sums": "lenet",
    "interleaving": "lenet",
    "materialized": "resnet",
}
"""The network whose training step shows what a trick for convolutions gains."""
PLAIN: dict[Name, dict[Callable[..., Any], Callable[..., Any]]] = {
    "threefry": {threefry_bits.quick: lambda key: key},
    "one_row": {
        rows.drawn: lambda distribution, key, shape, dtype, **settings: distribution(key, shape, dtype, **settings)
    },
    "in_place": {in_place_updates.overwriting: lambda updates, grads: updates},
    "compile_once": {once.jit_once: jax.jit},
    "channel_sums": {sums.channel_sums: lambda a: a.sum(tuple(range(a.ndim - 1)))},
    "interleaving": {
        windows.summed: lambda parts, window, image: sum(
            window.placed(part, where, image) for part, where in zip(parts, window.positions(), strict=True)
        ),
        windows.largest: lambda padded, window, outputs: jnp.stack(
            [window.seen(padded, where, outputs) for where in window.positions()]
        ).max(0),
    },
    "materialized": {memory.materialized: lambda x: x},
    "products": {memory.materialized: lambda x: x, matrix_products._in_rows: lambda x: x},
}
"""Trick -> its functions, and the plain version of each; wherever fnnet uses one, the plain version replaces it."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Compare tricks with their plain versions."""

    tricks: tuple[Name, ...] = get_args(Name)
    """Which ones."""
    rounds: int = 9
    """Measurements of each version, alternately."""
    first_network: tuple[int, ...] = (64, 128, 10)
    """Sizes of the network that is initialized, and of the one whose gradients are checked."""
    permutation: int = 60_000
    """Rows that are shuffled."""
    sizes: tuple[int, ...] = (784, 1024, 1024, 10)
    """Sizes of the network that is trained in place."""
    rows: int = 6_000
    """Rows of its epoch."""
    batch_size: int = 128
    """Rows of one batch."""
    results: Path = results.FOLDER
    """Folder of the measurements."""


Measured = dict[str, dict[str, float]]
"""What is measured -> {"trick": median, "plain": median}."""


def first_network(trick: Name, config: Config) -> Measured:
    """Seconds to compile `fnnet.init` for a first network."""
    model, key = fnnet.mlp(config.first_network), jax.random.key(0)
    return {"seconds to compile": _from_nothing(trick, lambda: _compiled(fnnet.init, model, key), config)}


def shuffling(config: Config) -> Measured:
    """Seconds to compile and to draw a permutation."""
    versions = {
        "trick": lambda key: shuffled(key, config.permutation),
        "plain": lambda key: jnp.argsort(jax.random.bits(key, (config.permutation,))),
    }
    key, programs = jax.random.key(0), {name: jax.jit(f) for name, f in versions.items()}
    compiling = _in_turn({name: lambda f=f: _compiled(f, key) for name, f in programs.items()}, config.rounds)
    times = alternate({name: lambda f=f: f(key) for name, f in programs.items()}, config.rounds, rest=0)
    return {"seconds to compile": compiling, "seconds": medians(times)}


def in_place(config: Config) -> Measured:
    """Seconds of an epoch, and bytes of its program's temporary memory."""
    programs, given = _epochs("in_place", fnnet.mlp(config.sizes), config)
    times = alternate({name: lambda f=f: f(*given) for name, f in programs.items()}, config.rounds, rest=0)
    memory = {name: float(f.memory_analysis().temp_size_in_bytes) for name, f in programs.items()}
    return {"seconds": medians(times), "temporary bytes": memory}


def products(config: Config) -> Measured:
    """Seconds of a training step."""
    programs, given = _epochs("products", fnnet.mlp(config.sizes, products="bfloat16"), config)
    times = alternate({name: lambda f=f: f(*given) for name, f in programs.items()}, config.rounds, rest=0)
    steps = -(-config.rows // config.batch_size)
    return {"seconds of a step": {name: s / steps for name, s in medians(times).items()}}


def _epochs(trick: Name, model: fnnet.Model, config: Config) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """An epoch of a dense network, compiled with the trick and without it, and the arguments of both."""
    optimizer, key = fnnet.Adam(1e-3), jax.random.key(0)
    state = fnnet.init_state(model, optimizer, key)
    x = jax.random.normal(key, (config.rows, config.sizes[0]))
    data = fnnet.Batch(x, jnp.arange(config.rows, dtype=jnp.int32) % config.sizes[-1])

    def epoch(state: fnnet.TrainState, data: fnnet.Batch, shuffle: Any) -> Any:
        return fnnet.train(model, optimizer, state, data, epochs=1, batch_size=config.batch_size, shuffle=shuffle)

    programs = {}
    for version in ("trick", "plain"):
        with _version(trick, version):
            jax.clear_caches()
            programs[version] = jax.jit(epoch).lower(state, data, key).compile()
    return programs, (state, data, key)


def compile_once(config: Config) -> Measured:
    """Seconds of `check_gradients` on a network."""
    model, key = fnnet.mlp(config.first_network), jax.random.key(0)
    measured = _from_nothing("compile_once", lambda: seconds(lambda: _checked(model, key)), config)
    return {"seconds to compile and run": measured}


def training_step(trick: Name, config: Config) -> Measured:
    """Seconds of a training step of the trick's network, as `fit` compiles it."""
    name, optimizer, key = NETWORKS[trick], fnnet.Adam(1e-3), jax.random.key(0)
    net = convolutions.network(name)
    x, y = convolutions.batches_of(name, net, net.steps)
    data = jax.device_put(fnnet.Batch(x.reshape(-1, *x.shape[2:]), y.ravel()))
    state = fnnet.init_state(net.model, optimizer, key)
    programs = {}
    for version in ("trick", "plain"):
        with _version(trick, version):
            jax.clear_caches()
            for_convolutions.cache_clear()
            fitted = for_convolutions(fnnet.train_epoch, "batch_size")
            settings = {"batch_size": convolutions.BATCH, "shuffle": key}
            programs[version] = fitted.lower(net.model, optimizer, state, data, **settings).compile()
    given = (net.model, optimizer, state, data)
    times = alternate({v: lambda f=f: f(*given, shuffle=key) for v, f in programs.items()}, config.rounds, rest=0)
    return {"seconds of a step": {version: s / net.steps for version, s in medians(times).items()}}


MEASURES: dict[Name, Callable[[Config], Measured]] = {
    "threefry": functools.partial(first_network, "threefry"),
    "one_row": functools.partial(first_network, "one_row"),
    "shuffling": shuffling,
    "in_place": in_place,
    "compile_once": compile_once,
    "products": products,
    **{trick: functools.partial(training_step, trick) for trick in NETWORKS},
}


def measure(config: Config) -> dict[Name, Measured]:
    """Every trick, written down and printed."""
    print(f"{'':<14}{'':<28}{'as it is':>12}{'plain':>12}{'ratio':>8}")
    found = {}
    for name in config.tricks:
        found[name] = MEASURES[name](config)
        results.add(config.results, "tricks", name, {**found[name], "rounds": config.rounds})
        for what, versions in found[name].items():
            trick, plain = versions["trick"], versions["plain"]
            print(f"{name:<14}{what:<28}{trick:>12.5g}{plain:>12.5g}{trick / plain:>8.3f}", flush=True)
    return found


def _from_nothing(name: Name, f: Callable[[], float], config: Config) -> dict[str, float]:
    """Medians of f() with the trick and without it."""

    def version(which: str) -> float:
        with _version(name, which):
            jax.clear_caches()
            gc.collect()  # else one version frees what the other left
            return f()

    return _in_turn({which: lambda w=which: version(w) for which in ("trick", "plain")}, config.rounds)


def _in_turn(versions: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Medians of what the versions return, in turn and the order reversed each time, after one call each."""
    found = [{name: versions[name]() for name in order} for order in _orders(list(versions), rounds + 1)]
    return {name: statistics.median(each[name] for each in found[1:]) for name in versions}


def _orders(names: list[str], count: int) -> Iterator[list[str]]:
    return itertools.islice(itertools.cycle((names, names[::-1])), count)


def users(function: Callable[..., Any]) -> list[tuple[Any, str]]:
    """(module, name) of every name in fnnet's modules that means this function."""
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("fnnet.")]
    return [(module, name) for module in modules for name, value in vars(module).items() if value is function]


@contextlib.contextmanager
def _version(name: Name, which: str) -> Iterator[None]:
    """With the plain version in place of the trick, or as it is."""
    with contextlib.ExitStack() as stack:
        for function, plain in PLAIN[name].items() if which == "plain" else ():
            for module, attribute in users(function):
                stack.enter_context(mock.patch.object(module, attribute, plain))
        yield


def _compiled(f: Any, *args: Any) -> float:
    """Seconds of tracing and compiling f."""
    jax.clear_caches()
    start = time.perf_counter()
    jax.jit(f).lower(*args).compile()
    return time.perf_counter() - start


def _checked(model: fnnet.Model, key: Any) -> None:
    fnnet.check_gradients(model, key=key).raise_if_failed()


if __name__ == "__main__":
    command_line.run(measure, Config, __doc__)
