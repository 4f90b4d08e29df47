"""Milliseconds of a training step of networks over tokens, beside everything else that trains them.

    lstm    65 characters, embedded in 64 numbers - LSTM of 256 over 64 steps - 65 logits at every step; batch 32
    gpt     65 characters - 4 transformer blocks of width 128 with 4 heads over 64 steps - 65 logits; batch 12

All start from the same weights and train by Adam on the same batches, which lie in memory. fnnet is the epoch that
`fit` runs. The products are the floor: what the network multiplies, in the order that it has to, without anything else.
Rounded: the factors of products are rounded to bfloat16 (`products="bfloat16"`; in PyTorch, `torch.autocast`, left out
on CPUs where PyTorch cannot train an LSTM that way).

    python -m experiments.benchmarks.sequences --networks gpt
"""

import dataclasses
import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import fnnet
from experiments import command_line
from experiments.benchmarks import results, systems, timing
from experiments.benchmarks.closest import apart, medians
from experiments.processor import processor

Name = Literal["lstm", "gpt"]
VOCABULARY = 65
PRODUCTS = "matrix products"
ROUNDED = ", rounded"
TORCH = {"PyTorch": False, systems.COMPILED: True}


@dataclasses.dataclass(frozen=True)
class Config:
    """Time training steps; measurements are added to the stored ones, by network and processor."""

    networks: tuple[Name, ...] = get_args(Name)
    """Which networks."""
    processes: int = 5
    """Processes for every network, one after another."""
    rounds: int = 5
    """Measurements of each system in each process, in turn."""
    results: Path = results.FOLDER
    """Folder of the measurements."""


def measure(config: Config) -> None:
    """Every network, written down one by one."""
    for name in config.networks:
        parts = [apart(measure_steps, name, config.rounds) for _ in range(config.processes)]
        measured = medians(parts) | {"processes": [part["milliseconds"] for part in parts]}
        results.add(config.results, "sequences", f"{name}, {processor()}", measured)
        shown = ", ".join(f"{system} {ms:.2f}" for system, ms in measured["milliseconds"].items())
        print(f"{name}: ms per step: {shown}", flush=True)


class Network(NamedTuple):
    """model     in fnnet, over tokens
    rows      of a batch
    jax       its name in peers/sequential_jax.py, a function (params, tokens) -> logits
    torch     its name in peers/sequential_torch.py, a module that starts at fnnet's parameters
    products  (rows, steps) -> a call that computes the floor of so many training steps
    steps     so many batches in one timed call
    """

    model: fnnet.Model
    rows: int
    jax: str
    torch: str
    products: Callable[[int, int], Callable[[], Any]]
    steps: int


def network(name: Name, products: str | None = None) -> Network:
    steps, loss = 64, fnnet.SoftmaxCrossEntropy(no_target=-1)
    if name == "gpt":
        blocks, heads, width = 4, 4, 128
        model = fnnet.gpt(
            VOCABULARY, layers=blocks, heads=heads, width=width, context=steps, loss=loss, products=products
        )
        return Network(model, 12, "gpt", "Gpt", partial(gpt_products, steps, blocks, heads, width), 10)
    width, embedded = 256, 64
    layers = (
        fnnet.Embedding(VOCABULARY, embedded),
        fnnet.Recurrent(fnnet.Lstm(width), products=products),
        fnnet.Dense(VOCABULARY, products=products),
    )
    model = fnnet.Model(fnnet.Serial(layers), loss, (steps,))
    floor = partial(lstm_products, steps, embedded, width)
    return Network(model, 32, "lstm", "Lstm", floor, 6)


def measure_steps(name: Name, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of one step of every system, seconds to compile, bytes of temporary memory."""
    net = network(name)
    batches = batches_of(net, net.steps)
    params = fnnet.init(net.model, jax.random.key(0))
    variants = systems_of(net, network(name, "bfloat16"), params, batches)
    times = timing.medians(timing.alternate(variants, rounds))
    milliseconds = {system: 1e3 * seconds / net.steps for system, seconds in times.items()}
    return {"milliseconds": milliseconds, **_compiling(net, params, jax.device_put(batches))}


def batches_of(net: Network, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(S, B, T) tokens and what follows each."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, VOCABULARY, (steps, net.rows, net.model.input_shape[0] + 1)).astype(np.int32)
    return tokens[..., :-1], tokens[..., 1:]


def systems_of(net: Network, rounded: Network, params: Any, batches: Any) -> dict[str, Callable[[], Any]]:
    """System -> a call of all batches; rounded is the same network with rounded products."""
    try:
        from experiments.benchmarks.peers import sequential_jax, sequential_torch
    except ModuleNotFoundError as error:
        raise SystemExit(systems.missing(error)) from None
    on_device, forward = jax.device_put(batches), getattr(sequential_jax, net.jax)
    variants = {
        systems.OURS: _ours(net, params, on_device),
        systems.OURS + ROUNDED: _ours(rounded, params, on_device),
        systems.GRAD_SCAN: sequential_jax.scan(forward, params, on_device),
        systems.GRAD_LOOP: sequential_jax.loop(forward, params, on_device),
    }
    roundings = (False, True) if sequential_torch.can_round() else (False,)
    for (system, compiled), is_rounded in itertools.product(TORCH.items(), roundings):
        module = getattr(sequential_torch, net.torch)(params)
        variants[system + ROUNDED * is_rounded] = sequential_torch.train(module, batches, compiled, is_rounded)
    return variants | {PRODUCTS: net.products(net.rows, net.steps)}


def _ours(net: Network, params: Any, batches: Any) -> Callable[[], Any]:
    optimizer = fnnet.Adam(1e-3)
    state = fnnet.init_state(net.model, optimizer, jax.random.key(0))._replace(params=params)
    data = fnnet.Batch(*(a.reshape(-1, *a.shape[2:]) for a in batches))
    settings = {"batch_size": net.rows, "shuffle": jax.random.key(1)}
    return lambda: fnnet.train_epoch(net.model, optimizer, state, data, **settings)


def _compiling(net: Network, params: Any, batches: Any) -> dict[str, dict[str, float]]:
    """Seconds to compile and bytes of temporary memory, of one step of fnnet and of automatic differentiation's."""
    from experiments.benchmarks.peers import sequential_jax

    optimizer, (x, y) = fnnet.Adam(1e-3), jax.tree.map(lambda a: a[0], batches)
    state = fnnet.init_state(net.model, optimizer, jax.random.key(0))
    step, start = sequential_jax.step(getattr(sequential_jax, net.jax), params)
    lowered = {
        systems.OURS: fnnet.train_step.lower(net.model, optimizer, state, fnnet.Batch(x, y)),
        systems.GRAD_LOOP: jax.jit(step).lower(start, (x, y)),
    }
    seconds, memory = {}, {}
    for system, text in lowered.items():
        programs = []
        seconds[system] = timing.seconds(lambda text=text, programs=programs: programs.append(text.compile()))
        memory[system] = float(programs[0].memory_analysis().temp_size_in_bytes)
    return {"compile_seconds": seconds, "temporary_bytes": memory}


def lstm_products(length: int, inputs: int, width: int, rows: int, steps: int) -> Callable[[], Any]:
    """Of the inputs, the states one after the other, the logits; of their gradients, and of those of the weights.

    Every product depends on the one before it, and is used, so that none can be left out or moved out of the scan.
    """
    keys = iter(jax.random.split(jax.random.key(0), 5))
    x, w, w_h, w_o, h = (
        jax.random.normal(next(keys), shape) / 100
        for shape in (
            (length, rows, inputs),
            (inputs, 4 * width),
            (width, 4 * width),
            (width, VOCABULARY),
            (rows, width),
        )
    )

    def times(h: Any, count: int) -> Any:
        """(T rows, count width): h at every step, for what a product would have made."""
        return jnp.broadcast_to(jnp.tile(h, (1, count)), (length, rows, count * width)).reshape(-1, count * width)

    def one(total: Any, _: None) -> Any:
        u = (x + total) @ w
        h_t = lax.fori_loop(0, length, lambda t, h: (h @ w_h)[:, :width] + u[t, :, :width], h + total)
        logits = times(h_t, 1) @ w_o
        dw_o, dh = times(h_t, 1).T @ logits, logits @ w_o.T
        da = lax.fori_loop(0, length, lambda t, h: jnp.tile(h, (1, 4)) @ w_h.T, dh[:rows])
        das = times(da, 4)
        products = u, dw_o, times(h_t, 1).T @ das, x.reshape(-1, inputs).T @ das, das @ w.T
        return total + 1e-30 * sum((p.ravel()[0] for p in products), jnp.zeros(())), None

    return jax.jit(lambda: lax.scan(one, jnp.zeros(()), None, length=steps)[0])


def gpt_products(length: int, blocks: int, heads: int, width: int, rows: int, steps: int) -> Callable[[], Any]:
    """Of every dense layer, forward and for its two gradients, and the six of attention."""
    keys = iter(jax.random.split(jax.random.key(0), 12))
    sizes = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)] * blocks + [
        (width, VOCABULARY)
    ]
    weights = {size: jax.random.normal(next(keys), size) / 100 for size in set(sizes)}
    inputs = {n: jax.random.normal(next(keys), (rows * length, n)) for n in {n for size in sizes for n in size}}
    q = jax.random.normal(next(keys), (rows, heads, length, width // heads))

    def one(total: Any, _: None) -> Any:
        def used(product: Any) -> Any:
            return total + 1e-30 * product.ravel()[0]

        for size in sizes:
            x, dy, w = inputs[size[0]] + total, inputs[size[1]] + total, weights[size]
            total = used(x @ w)
            total = used(dy @ w.T)
            total = used(x.T @ dy)
        for _ in range(blocks):
            p = (q + total) @ q.swapaxes(-1, -2)
            total = used(p)
            for product in (p @ q, (q + total) @ q.swapaxes(-1, -2), (p + total) @ q, p.swapaxes(-1, -2) @ (q + total)):
                total = used(product)
            total = used(p.swapaxes(-1, -2) @ (q + total))
        return total, None

    return jax.jit(lambda: lax.scan(one, jnp.zeros(()), None, length=steps)[0])


if __name__ == "__main__":
    command_line.run(measure, Config, __doc__)
