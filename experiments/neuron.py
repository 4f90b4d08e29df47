"""One neuron: a weighted sum and an activation, computed in a loop and as a matrix product, and then trained.

The loop shows what a neuron computes; the matrix does the same for all rows at once, many times faster. Many texts
put one example in each column, Y = W X + b; here rows are examples, y = x w + b, which is the same numbers
transposed. Finally, a neuron with a single input learns whether a student passes an exam, and the figure shows
gradient descent finding its weight and its bias. The learning rate is ours, without a search.
"""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import fnnet
from experiments import command_line
from experiments.command_line import KeptSettings
from experiments.results_file import Result
from experiments.run_folder import RunFolder
from fnnet.layers import DenseParams
from fnnet.plots import TRAINING, VALIDATION, figure
from fnnet.protocols import Params


@dataclasses.dataclass(frozen=True)
class Config(KeptSettings):
    """Sizes of the timing and of the training; the defaults take a few seconds."""

    rows: int = 1000
    """Examples, one per row."""
    inputs: int = 784
    """Numbers in each example: the pixels of an MNIST image."""
    repeats: int = 7
    """How often each version is timed; the table has the median."""
    steps: int = 400
    """Updates of the neuron that learns."""
    learning_rate: float = 0.5
    """Learning rate of gradient descent."""


def by_loop(x: np.ndarray, w: np.ndarray, b: float) -> np.ndarray:
    """A neuron as it is explained: multiply, add up, squash; one number at a time. x (B, I) -> (B,)."""
    answers = []
    for row in x.tolist():
        total = b
        for value, weight in zip(row, w.tolist(), strict=True):
            total += value * weight
        answers.append(1 / (1 + math.exp(-total)))
    return np.array(answers)


def by_matrix(x: np.ndarray, w: np.ndarray, b: float) -> np.ndarray:
    """All rows at once: one matrix-vector product. x (B, I) -> (B,)."""
    return 1 / (1 + np.exp(-(x @ w + b)))


def timings(config: Config) -> list[str]:
    """The table: the same neuron in three versions, medians over repeats, compilation timed separately."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(config.rows, config.inputs)).astype(np.float32)
    w, b = (rng.normal(size=config.inputs) / math.sqrt(config.inputs)).astype(np.float32), 0.1
    neuron = fnnet.Serial((fnnet.Dense(1), fnnet.Sigmoid()))
    compiled = jax.jit(lambda params, x: neuron.forward(params, x)[0])
    on_device = (DenseParams(jnp.asarray(w[:, None]), jnp.asarray([b], jnp.float32)), ()), jnp.asarray(x)
    compilation, _ = _seconds(lambda: compiled(*on_device).block_until_ready())
    versions: dict[str, Callable[[], Any]] = {
        "Python loop": lambda: by_loop(x, w, b),
        "NumPy matrix": lambda: by_matrix(x, w, b),
        "fnnet, compiled": lambda: compiled(*on_device).block_until_ready(),
    }
    measured = {name: [_seconds(version) for _ in range(config.repeats)] for name, version in versions.items()}
    slowest = statistics.median(s for s, _ in measured["Python loop"])
    answer = measured["Python loop"][0][1]
    lines = [
        f"{config.rows:,} rows of {config.inputs} numbers",
        f"{'':<18}{'median':>12}{'loop / this':>14}{'differs by':>14}",
    ]
    for name, runs in measured.items():
        median, result = statistics.median(s for s, _ in runs), np.asarray(runs[0][1]).ravel()
        lines.append(f"{name:<18}{1e3 * median:>9.3f} ms{slowest / median:>13,.0f}x{abs(result - answer).max():>14.0e}")
    return [*lines, f"compiling, once: {1e3 * compilation:.0f} ms"]


def _seconds(version: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = version()
    return time.perf_counter() - start, result


def two_forms() -> list[str]:
    """Three examples of two numbers through two neurons, as rows and as columns, to compare by eye."""
    x = np.array([[1.0, 2.0], [3.0, -1.0], [0.0, 4.0]])
    w, b = np.array([[2.0, -1.0], [0.5, 3.0]]), np.array([0.5, -2.0])
    rows = x @ w + b
    columns = w.T @ x.T + b[:, None]
    lines = ["rows are examples:     y = x w + b        x (B, I), w (I, O), y (B, O)", *_indented(rows)]
    lines += ["columns are examples:  Y = W X + b        X (I, B), W (O, I), Y (O, B)", *_indented(columns)]
    return [*lines, f"W = w^T, X = x^T and Y = y^T: {'the same numbers' if (columns == rows.T).all() else 'different'}"]


def _indented(matrix: np.ndarray) -> list[str]:
    return ["    " + " ".join(f"{v:6.2f}" for v in row) for row in matrix]


def exam(rows: int = 60) -> fnnet.Batch:
    """Hours of study (less their mean, 3) and whether the exam was passed: more likely after more hours."""
    rng = np.random.default_rng(3)
    hours = rng.uniform(-3, 3, size=(rows, 1)).astype(np.float32)
    passed = rng.uniform(size=(rows, 1)) < 1 / (1 + np.exp(-1.8 * (hours - 0.5)))
    return fnnet.Batch(hours, passed.astype(np.float32))


def neuron() -> fnnet.Model:
    """One weight, one bias; the loss has the sigmoid in it."""
    return fnnet.mlp((1, 1), loss=fnnet.SigmoidBinaryCrossEntropy())


def descend(config: Config, data: fnnet.Batch) -> np.ndarray:
    """(steps + 1, 3): weight, bias and loss before every update and after the last, from a bad start."""
    model, optimizer = neuron(), fnnet.Sgd(config.learning_rate)
    state = fnnet.init_state(model, optimizer, jax.random.key(0))
    state = state._replace(params=_parameters(jnp.float32(-1.5), jnp.float32(2.5)))

    def step(state: fnnet.TrainState, _: None) -> tuple[fnnet.TrainState, Any]:
        new, metrics = fnnet.train_step(model, optimizer, state, data)
        return new, jnp.stack([state.params[0].w[0, 0], state.params[0].b[0], metrics.loss])

    last, path = jax.lax.scan(step, state, length=config.steps)
    loss = fnnet.loss(model, last.params, data.x, data.y)
    return np.concatenate([path, [[last.params[0].w[0, 0], last.params[0].b[0], loss]]])


def _parameters(w: Any, b: Any) -> Params:
    return (DenseParams(w.reshape(1, 1), b.reshape(1)),)


def surface(data: fnnet.Batch, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(len(b), len(w)): the loss of every neuron on a grid, in one call."""
    one = lambda w, b: fnnet.loss(neuron(), _parameters(w, b), data.x, data.y)  # noqa: E731
    return np.asarray(jax.vmap(lambda b: jax.vmap(lambda w: one(w, b))(jnp.asarray(w)))(jnp.asarray(b)))


def draw(path: np.ndarray, data: fnnet.Batch) -> Any:
    """A Figure: the path on the loss surface, the neuron over the data as it learns, and the loss."""
    drawn, (ground, fit, curve) = figure(13, 4.2, columns=3)
    w, b = np.linspace(-2.5, 4, 121, dtype=np.float32), np.linspace(-3, 3.5, 121, dtype=np.float32)
    losses = surface(data, w, b)
    levels = np.geomspace(1.02 * losses.min(), losses.max(), 16)
    ground.contourf(w, b, losses, levels=[0, *levels], cmap="Blues")
    ground.plot(path[:, 0], path[:, 1], color=VALIDATION, marker="o", markersize=2.5, linewidth=1)
    shown = np.unique(np.r_[0, np.geomspace(3, len(path) - 1, 4).astype(int)])
    for step in shown:
        ground.annotate(f"{step}", path[step, :2], xytext=(5, 4), textcoords="offset points", fontsize=8)
    ground.set(xlabel="weight w", ylabel="bias b", title="loss (dark: high) and the path of descent")

    hours = np.linspace(-3, 3, 200, dtype=np.float32)[:, None]
    fit.plot(data.x + 3, data.y, "o", color="#333333", alpha=0.35, markersize=5, markeredgewidth=0)
    for i, step in enumerate(shown):
        p = fnnet.predict(neuron(), _parameters(*jnp.asarray(path[step, :2])), hours)
        last = step == shown[-1]
        color, alpha = (VALIDATION if last else TRAINING), 1 if last else 0.25 + 0.5 * i / len(shown)
        fit.plot(hours + 3, p, color=color, alpha=alpha, linewidth=2.5 if last else 1.2, label=f"after {step} steps")
    fit.set(xlabel="hours of study", ylabel="probability of passing", title="sigmoid(w x + b) over the data")
    fit.legend(frameon=False, fontsize=8)

    curve.plot(np.arange(1, len(path) + 1), path[:, 2], color=TRAINING)
    curve.set(
        xlabel="update", ylabel="cross-entropy", title="the loss falls, fast at first", xscale="log", ylim=(0, None)
    )
    return drawn


def main(config: Config) -> None:
    with RunFolder("neuron", config) as run:
        print("\n".join(["One neuron, three versions", *timings(config), "", "Two ways to write it", *two_forms(), ""]))
        data = exam()
        path = descend(config, data)
        print("One neuron learns: step, weight, bias, loss")
        for step in np.unique(np.geomspace(1, config.steps, 6).astype(int)).tolist():
            print(f"{step:>6}{path[step, 0]:>9.3f}{path[step, 1]:>9.3f}{path[step, 2]:>9.4f}")
        run.figure("neuron", draw(path, data))
        last = path[-1].tolist()
        run.record(
            "neuron",
            network="one sigmoid neuron learns from hours of study whether an exam is passed",
            results={name: Result([value]) for name, value in zip(("weight", "bias", "loss"), last, strict=True)},
            captions={"neuron": "one neuron: the path of descent, the data, the loss"},
        )
        print(f"figure: {run.path / 'neuron.png'}")


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
