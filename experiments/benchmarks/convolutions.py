"""Milliseconds of a training step of two convolutional networks, beside everything else that trains them.

    lenet    28x28 - conv 5x5x16 - pool - conv 5x5x32 - pool - 128 - 10
    resnet   14x14x64, four residual blocks of two 3x3 convolutions with batch norm, global mean, 10

All start from the same weights and train by Adam on the same batches, which lie in memory. fnnet is the epoch that
`fit` runs; "without the option" is the pure function. The products are the floor: what the convolutions and the dense
layers multiply, as plain matrix products, without anything else.

    python -m experiments.benchmarks.convolutions --networks lenet
    python -m experiments.benchmarks.convolutions --forms      # which form is faster by shape; writes nothing
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

import fnnet
from experiments import command_line
from experiments.benchmarks import results, systems, timing
from experiments.benchmarks.closest import apart, medians
from experiments.processor import processor
from fnnet._windows import window_over
from fnnet._xla import banded, canonical
from fnnet._xla.convolution_options import for_convolutions

Name = Literal["lenet", "resnet"]
BATCH = 128
PURE, SCAN, LOOP = "fnnet, without the option", "jax.grad + optax, scan", "jax.grad + optax, loop"
TORCH = {
    "PyTorch": (False, False),
    "PyTorch, channels last": (True, False),
    "PyTorch, compiled": (False, True),
    "PyTorch, channels last, compiled": (True, True),
}
PRODUCTS = "matrix products"


@dataclasses.dataclass(frozen=True)
class Config:
    """Time training steps; measurements are added to the stored ones, by network and processor."""

    networks: tuple[Name, ...] = get_args(Name)
    """Which networks."""
    processes: int = 5
    """Processes for every network, one after another."""
    rounds: int = 5
    """Measurements of each system in each process, in turn."""
    forms: bool = False
    """Instead, time the forms of each convolution by shape: what the choices in fnnet/_xla/banded.py come from."""
    results: Path = results.FOLDER
    """Folder of the measurements."""


def measure(config: Config) -> None:
    """Every network, written down one by one."""
    if config.forms:
        measure_forms(config.rounds)
        return
    for name in config.networks:
        scan = apart(measure_scan, name)
        parts = [apart(measure_steps, name, config.rounds) for _ in range(config.processes)]
        measured = medians(parts) | {"processes": [part["milliseconds"] for part in parts]}
        measured["milliseconds"][SCAN] = scan
        results.add(config.results, "convolutions", f"{name}, {processor()}", measured)
        shown = ", ".join(f"{system} {ms:.2f}" for system, ms in measured["milliseconds"].items())
        print(f"{name}: ms per step: {shown}", flush=True)


class Network(NamedTuple):
    """model     in fnnet
    images    shape of one row
    products  (rows, inputs, outputs, whether dx is wanted) of every product of a step's forward pass
    steps     so many batches in one timed call
    """

    model: fnnet.Model
    images: tuple[int, ...]
    products: tuple[tuple[int, int, int, bool], ...]
    steps: int


def network(name: Name) -> Network:
    if name == "lenet":
        model = fnnet.cnn((28, 28), (16, 32), (128, 10), kernel=(5, 5), padding="valid", scale=1 / 255)
        convs = (BATCH * 24 * 24, 25, 16, False), (BATCH * 8 * 8, 400, 32, True)
        return Network(model, (28, 28), (*convs, (BATCH, 512, 128, True), (BATCH, 128, 10, True)), 20)
    conv = partial(fnnet.Conv, 64, (3, 3), biases=None)
    inner = fnnet.Serial((conv(), fnnet.BatchNorm(), fnnet.Relu(), conv(), fnnet.BatchNorm()))
    layers = (*(fnnet.Residual(inner), fnnet.Relu()) * 4, fnnet.GlobalMeanPool(), fnnet.Dense(10))
    model = fnnet.Model(fnnet.Serial(layers), fnnet.SoftmaxCrossEntropy(), (14, 14, 64))
    products = [(BATCH * 14 * 14, 576, 64, i > 0) for i in range(8)]
    return Network(model, (14, 14, 64), (*products, (BATCH, 64, 10, True)), 3)


def measure_steps(name: Name, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of one step of every system, seconds to compile, bytes of temporary memory."""
    net = network(name)
    variants, compiled = systems_of(name, net, batches_of(name, net, net.steps))
    times = timing.medians(timing.alternate(variants, rounds))
    return {"milliseconds": {system: 1e3 * seconds / net.steps for system, seconds in times.items()}, **compiled}


def measure_scan(name: Name) -> float:
    """Milliseconds of one step of automatic differentiation in a scan: it takes seconds, and is measured once."""
    from experiments.benchmarks.peers import convolutional_jax as theirs

    net = network(name)
    batches = jax.device_put(batches_of(name, net, 2))
    run = theirs.scan(getattr(theirs, name), fnnet.init(net.model, jax.random.key(0)), batches)
    return 1e3 * timing.medians(timing.alternate({SCAN: run}, 1))[SCAN] / 2


def batches_of(name: Name, net: Network, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(S, B, ...) pixels or numbers, and (S, B) classes."""
    rng = np.random.default_rng(0)
    shape = (steps, BATCH, *net.images)
    x = rng.integers(0, 256, shape).astype(np.uint8) if name == "lenet" else rng.normal(size=shape).astype(np.float32)
    return x, rng.integers(0, 10, shape[:2]).astype(np.int32)


def systems_of(name: Name, net: Network, batches: Any) -> tuple[dict[str, Callable], dict]:
    """(system -> a call of all batches, what compiling took)."""
    from experiments.benchmarks.peers import convolutional_jax as theirs

    params = fnnet.init(net.model, jax.random.key(0))
    on_device, forward = jax.device_put(batches), getattr(theirs, name)
    variants = {
        **_ours(net, params, on_device),
        LOOP: theirs.loop(forward, params, on_device),
        PRODUCTS: products(net),
    }
    try:
        from experiments.benchmarks.peers import convolutional_torch
    except ModuleNotFoundError as error:
        raise SystemExit(systems.missing(error)) from None
    for system, settings in TORCH.items():
        module = getattr(convolutional_torch, name)(params)
        variants[system] = convolutional_torch.train(module, batches, *settings)
    return variants, _compiling(net, params, on_device)


def _ours(net: Network, params: Any, batches: Any) -> dict[str, Callable]:
    optimizer = fnnet.Adam(1e-3)
    state = fnnet.init_state(net.model, optimizer, jax.random.key(0))._replace(params=params)
    data = fnnet.Batch(*(a.reshape(-1, *a.shape[2:]) for a in batches))
    given = (net.model, optimizer, state, data)
    settings = {"batch_size": BATCH, "shuffle": jax.random.key(1)}
    fitted = for_convolutions(fnnet.train_epoch, "batch_size")
    return {
        systems.OURS: lambda: fitted(*given, **settings),
        PURE: lambda: fnnet.train_epoch(*given, **settings),
    }


def _compiling(net: Network, params: Any, batches: Any) -> dict[str, dict[str, float]]:
    """Seconds to compile and bytes of temporary memory, of one step of fnnet and of automatic differentiation's."""
    from experiments.benchmarks.peers import convolutional_jax as theirs

    optimizer, (x, y) = fnnet.Adam(1e-3), jax.tree.map(lambda a: a[0], batches)
    state = fnnet.init_state(net.model, optimizer, jax.random.key(0))
    name = "lenet" if len(net.images) == 2 else "resnet"
    step, start = theirs.step(getattr(theirs, name), params)
    lowered = {
        systems.OURS: lambda: fnnet.train_step.lower(net.model, optimizer, state, fnnet.Batch(x, y)),
        LOOP: lambda: jax.jit(step).lower(start, (x, y)),
    }
    seconds, memory = {}, {}
    for system, lower in lowered.items():
        text = lower()
        programs = []
        seconds[system] = timing.seconds(lambda text=text, programs=programs: programs.append(text.compile()))
        memory[system] = float(programs[0].memory_analysis().temp_size_in_bytes)
    return {"compile_seconds": seconds, "temporary_bytes": memory}


def products(net: Network) -> Callable[[], Any]:
    """A step's products in a scan: y = x w, dw = x^T dy, dx = dy w^T, each used so that none can be left out."""
    key = jax.random.key(0)
    given = [
        (jax.random.normal(key, (rows, i)), jax.random.normal(key, (i, o)), wants_dx)
        for rows, i, o, wants_dx in dict.fromkeys(net.products)
    ]
    times = [net.products.count(each) for each in dict.fromkeys(net.products)]
    arrays = [(x, w) for x, w, _ in given]

    @jax.jit
    def run(arrays: Any) -> Any:
        def step(total: Any, _: None) -> Any:
            for (x, w), (_, _, wants_dx), count in zip(arrays, given, times, strict=True):
                for _ in range(count):
                    y = x @ (w + total)
                    dw = x.T @ y
                    total = dw[0, 0] * 1e-30 + total
                    if wants_dx:
                        total = (y @ (w + total).T)[0, 0] * 1e-30 + total
            return total, None

        return jax.lax.scan(step, jnp.zeros(()), None, length=net.steps)[0]

    return lambda: run(arrays)


SHAPES = ((28, 1, 5, 16), (28, 1, 3, 32), (32, 3, 3, 32), (12, 16, 5, 32), (14, 8, 5, 16), (14, 32, 3, 64))
"""(height and width, channels, kernel, features): images of a batch that the forms are compared on."""


def measure_forms(rounds: int) -> None:
    """Milliseconds of y, dw and dx in each form."""
    rng = np.random.default_rng(0)
    for size, channels, k, features in SHAPES:
        window = window_over("Conv", (size, size), (k, k), 1, 1, "valid")
        x, w, dy = (
            jnp.asarray(rng.normal(size=shape), jnp.float32)
            for shape in (
                (BATCH, size, size, channels),
                (k, k, channels, features),
                (BATCH, *window.outputs((size, size)), features),
            )
        )
        bands = {f"banded, {t} at once": t for t in (2, 4, 8)}
        jobs = {
            "y": {"canonical": lambda x, w, dy, v=window: canonical.convolved(x, w, v)}
            | {n: lambda x, w, dy, v=window, t=t: banded.convolved(x, w, v, t) for n, t in bands.items()},
            "dw": {"canonical": lambda x, w, dy, v=window: canonical.kernel_gradient(x, dy, v)}
            | {n: lambda x, w, dy, v=window, t=t: banded.kernel_gradient(x, dy, v, t) for n, t in bands.items()},
            "dx": {
                form.__name__.rpartition(".")[2]: lambda x, w, dy, v=window, f=form, s=size: f.input_gradient(
                    dy, w, (s, s), v
                )
                for form in (canonical, banded)
            },
        }
        for what, forms in jobs.items():
            times = timing.alternate({n: _repeated(f, (x, w, dy)) for n, f in forms.items()}, rounds, rest=0)
            shown = ", ".join(f"{n} {1e3 * t / 8:.2f}" for n, t in timing.medians(times).items())
            print(f"{size}x{size}x{channels}, {k}x{k}x{features}, {what}: {shown} ms", flush=True)


def _repeated(f: Callable, arrays: Any) -> Callable[[], Any]:
    """Eight calls in a scan, each of other arrays than the one before."""

    @jax.jit
    def run(arrays: Any) -> Any:
        def step(total: Any, _: None) -> Any:
            return f(*(a + total for a in arrays)).max() * 1e-30, None

        return jax.lax.scan(step, jnp.zeros(()), None, length=8)[0]

    return lambda: run(arrays)


if __name__ == "__main__":
    command_line.run(measure, Config, __doc__)
