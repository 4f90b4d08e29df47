"""One row at a time, as a service answers: from a row of numbers in NumPy to probabilities in NumPy.

    python -m experiments.benchmarks.serving

`fnnet` is `fnnet.predict` as anybody calls it; `fnnet, one program` is the same call within the caller's own `jax.jit`,
which leaves out the checks of the model and of its parameters at every row.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

import fnnet
from experiments import command_line
from experiments.benchmarks import results, systems, task
from experiments.benchmarks.timing import alternate, medians

CALLS = 200
ONE_PROGRAM = "fnnet, one program"

Answer = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Config:
    """Time answers to single rows."""

    rounds: int = 9
    """Rounds of every system, in turn."""
    calls: int = CALLS
    """Rows in each round, one by one."""
    networks: tuple[str, ...] = ("784-128-64-10", "4-16-1")
    """Layers of each network; one output is a sigmoid, several are a softmax."""
    results: Path = results.FOLDER
    """Folder of the measurements."""


def measure(config: Config) -> None:
    """Seconds a row, written down."""
    for network in config.networks:
        sizes = tuple(map(int, network.split("-")))
        row = np.random.default_rng(0).uniform(size=(1, sizes[0])).astype(np.float32)

        def variant(answer: Answer, row: np.ndarray = row) -> Callable[[], list]:
            return lambda: [answer(row) for _ in range(config.calls)]

        times = alternate({name: variant(answer) for name, answer in answers(sizes).items()}, config.rounds)
        seconds = {name: s / config.calls for name, s in medians(times).items()}
        results.add(config.results, "serving", network, {"seconds": seconds, "rounds": config.rounds})
        print(f"{network}: {', '.join(f'{name} {1e6 * s:.1f} µs' for name, s in seconds.items())}", flush=True)


def answers(sizes: tuple[int, ...]) -> dict[str, Answer]:
    """Name -> (1, I) float32 to (1, O) probabilities, all of the same network."""
    weights = task.initial_weights(sizes)
    loss = fnnet.SigmoidBinaryCrossEntropy() if sizes[-1] == 1 else fnnet.SoftmaxCrossEntropy()
    model, given = fnnet.mlp(sizes, loss=loss), iter(weights)
    drawn = fnnet.init(model, jax.random.key(0))
    params = tuple(p if p == () else fnnet.layers.DenseParams(*jax.device_put(next(given))) for p in drawn)
    one_program = jax.jit(lambda x: fnnet.predict(model, params, x))
    return {
        systems.OURS: lambda x: np.asarray(fnnet.predict(model, params, x)),
        ONE_PROGRAM: lambda x: np.asarray(one_program(x)),
        "PyTorch": _torch(weights),
        systems.NUMPY: lambda x: _numpy(weights, x),
    }


def _numpy(weights: list, x: np.ndarray) -> np.ndarray:
    for w, b in weights[:-1]:
        x = np.maximum(x @ w + b, 0)
    z = x @ weights[-1][0] + weights[-1][1]
    if z.shape[1] == 1:
        return 1 / (1 + np.exp(-z))
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def _torch(weights: list) -> Answer:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise SystemExit(systems.missing(error)) from None
    from experiments.benchmarks.peers.torch_memory import network

    torch.set_num_threads(task.THREADS)
    model = network(task.Task(weights, np.empty(0), np.empty(0), 1, 0.0))
    probabilities = torch.sigmoid if len(weights[-1][1]) == 1 else lambda z: torch.softmax(z, 1)

    @torch.inference_mode()
    def answer(x: np.ndarray) -> np.ndarray:
        return probabilities(model(torch.from_numpy(x))).numpy()

    return answer


if __name__ == "__main__":
    command_line.run(measure, Config, __doc__)
