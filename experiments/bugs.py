"""A clinic of bugs: five mistakes of hand-written back-propagation, each at the learning rate that suits it best.

The network is the one of `experiments.kaggle_digits`, 784-32-16-10 on Kaggle's digit table with full batches; some of
the bugs are in the notebook that it comes from. A wrong gradient is often large where the right one is small, so that
at one rate for all the rate does the damage and not the bug. Here every network is trained at every rate from three
seeds, the rate is chosen on validation rows, and 10,000 other rows say how good the result is. A run whose numbers
are not finite counts as NaN; beside it stands what `argmax` over NaN, which answers class 0, would have reported.

The words of a bug, its gradient check and its cure are in `experiments/course`.
"""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

import fnnet
from experiments.classification import TrainingSettings, check_settings
from experiments.command_line import KeptSettings, check_counts, run
from experiments.kaggle_digits import SquaredErrorOfClasses, build, from_mnist
from experiments.results_file import Result
from experiments.run_folder import RunFolder
from fnnet import plots
from fnnet.layers import DenseParams
from fnnet.sweeps import Configuration, Point, Results, sweep


@dataclasses.dataclass(frozen=True)
class Config(TrainingSettings, KeptSettings):
    """Settings of the sweep."""

    epochs: int = 300
    """Updates, each on all rows learned."""
    rows: int = 10_000
    """Rows to learn from."""
    validation_rows: int = 5000
    """Rows that choose the learning rate."""
    dev_rows: int = 10_000
    """Rows that measure."""
    rates: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)
    """Learning rates that are tried with each network."""
    seeds: int = 3
    """Starts of each network."""


# --- five bugs, each a forward that is right (or nearly) and a backward that is not ---


@fnnet.spec
class ErrorOfAnotherLoss(SquaredErrorOfClasses):
    """Squared error with the gradient A - one_hot: that is cross-entropy's, and skips the softmax."""

    def forward(self, z: Any, classes: Any) -> tuple[Any, Any]:
        """l = sum_c (softmax(z)_c - [c = class])^2, from logits."""
        return super().forward(self.predict(z), classes)

    def backward(self, r: Any, dper_example: Any) -> Any:
        """dz = p - one_hot, where 2 (diag(p) - p p^T) (p - one_hot) is right."""
        return r * dper_example[:, None]

    def predict(self, z: Any) -> Any:
        return fnnet.SoftmaxCrossEntropy().predict(z)


@fnnet.spec
class SoftmaxForRelu(fnnet.Softmax):
    """A hidden layer whose activations were mixed up: softmax forward, ReLU's derivative backward."""

    def backward(self, params: Any, y: Any, dy: Any) -> tuple[Any, Any]:
        """dx = dy where y > 0, which is everywhere."""
        return fnnet.Relu().backward(params, y, dy)


@fnnet.spec
class StopsBackward(fnnet.Relu):
    """ReLU at which the backward pass stops: the backward of a two-layer net used for a net of three layers."""

    def backward(self, params: Any, y: Any, dy: Any) -> tuple[Any, Any]:
        """dx = None: nothing before this layer learns."""
        return (), None


@fnnet.spec
class OneBiasForAll(fnnet.Dense):
    """Dense whose bias gradient is np.sum(dz) without an axis: one number for all neurons."""

    def backward(self, params: Any, x: Any, dy: Any) -> tuple[Any, Any]:
        """db_o = sum_b sum_k dy_bk, where sum_b dy_bo is right."""
        grads, dx = super().backward(params, x, dy)
        return DenseParams(grads.w, jnp.full_like(grads.b, grads.b.sum())), dx


@fnnet.spec
class OverflowingSoftmax(fnnet.Softmax):
    """Softmax as the formula is written: e^89 is inf in float32, and inf / inf is NaN."""

    def forward(self, params: Any, x: Any, *, key: Any = None) -> tuple[Any, Any]:
        """y_c = e^x_c / sum_k e^x_k, nothing subtracted."""
        e = jnp.exp(x)
        y = e / e.sum(-1, keepdims=True)
        return y, y


def networks() -> dict[str, fnnet.Model]:
    """The right networks, and each bug in its place."""
    large = fnnet.Normal(1.0), fnnet.Uniform(0.0, 0.5)
    return {
        "squared error": build(),
        "cross-entropy": build(output=fnnet.Identity(), loss=fnnet.SoftmaxCrossEntropy()),
        "A - one_hot for squared error": build(output=fnnet.Identity(), loss=ErrorOfAnotherLoss()),
        "softmax for ReLU": build(second=SoftmaxForRelu()),
        "two-layer backward": build(first=StopsBackward()),
        "one bias gradient": build(dense=OneBiasForAll),
        "squared error, from randn": build(start=large),
        "softmax overflows, from randn": build(output=OverflowingSoftmax(), start=large),
    }


class Found(NamedTuple):
    """A network at the rate that suits it best."""

    rate: float
    curves: np.ndarray
    dev: Result | str


# --- measuring ---


def split(config: Config) -> tuple[fnnet.Batch, fnnet.Batch, fnnet.Batch]:
    """(rows to learn from, rows that choose, rows that measure), shuffled by seed 0."""
    table = from_mnist().train
    sizes = np.cumsum([config.rows, config.validation_rows, config.dev_rows])
    if sizes[-1] > len(table.y):
        raise SystemExit(f"--rows --validation-rows --dev-rows: expected {len(table.y):,} or fewer, got {sizes[-1]:,}")
    parts = np.split(np.random.default_rng(0).permutation(len(table.y)), sizes)[:3]
    train, validation, dev = (fnnet.Batch(table.x[part], table.y[part]) for part in parts)
    return train, validation, dev


def measured(results: Results, number: int, model: fnnet.Model, dev: fnnet.Batch) -> Result | str:
    """Dev accuracies of the runs of one point; "NaN" in words where one of them diverged."""
    assert results.params is not None
    rows = np.flatnonzero(results.point == number)
    diverged = int(results.diverged[rows].sum())
    if diverged:
        zeros = 100 * float((np.asarray(dev.y) == 0).mean())
        return f"NaN ({diverged} of {len(rows)} seeds at every rate; argmax over NaN would report {zeros:.1f} %)"
    values = [100 * float(fnnet.evaluate(model, results.params[row], dev).accuracy) for row in rows]
    return Result(values, "%", results.seed[rows].tolist(), 1)


def draw(found: dict[str, Found]) -> Any:
    """A Figure: the validation accuracy of every network at its own rate; the right networks in gray."""
    figure, (axis,) = plots.figure(9, 4.4)
    colors = iter(plots.COLORS)
    for name, one in found.items():
        is_right = name.startswith("squared error") or name == "cross-entropy"
        style: dict[str, Any] = {"color": "#666666", "lw": 2.6, "alpha": 0.55} if is_right else {"color": next(colors)}
        style |= {"ls": {"squared error": "-", "cross-entropy": "--"}.get(name, ":")} if is_right else {}
        label = (
            f"NaN  {name}" if isinstance(one.dev, str) else f"{np.mean(one.dev.values):.1f} %  {name}, at {one.rate:g}"
        )
        curve = 100 * one.curves.mean(0)
        axis.plot(np.arange(1, len(curve) + 1), curve, label=label, **style)
    axis.set(
        xlabel="iteration",
        ylabel="validation accuracy in %",
        ylim=(0, 100),
        title="each at its best rate (gray: no bug)",
    )
    axis.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def main(config: Config) -> dict[str, Found]:
    check_settings(config)
    check_counts(config, "rows", "validation_rows", "dev_rows")
    folder, (train, validation, dev) = RunFolder("bugs", config), split(config)
    found: dict[str, Found] = {}
    with folder as run:
        for name, model in networks().items():
            points = tuple(Point({"rate": r}, Configuration(model, fnnet.Sgd(r), len(train.y))) for r in config.rates)
            results = sweep(
                points, train, epochs=config.epochs, seeds=config.seeds, shuffle=None, validation=validation,
                rank_by="accuracy", keep_params=True, progress=config.progress,
            )  # fmt: skip
            best = int(results.ranking()[0])
            curves = results.curves["validation_accuracy"][results.point == best]
            found[name] = Found(config.rates[best], curves, measured(results, best, model, dev))
            print(f"{name:30} at {config.rates[best]:<4g} {found[name].dev}", flush=True)
        run.figure("bugs", draw(found))
        run.record(
            "bugs",
            network=f"784-32-16-10, full batches of {len(train.y):,} rows, {config.epochs} iterations: right, and with "
            f"one bug each, at the best of {len(config.rates)} rates on {len(validation.y):,} validation rows",
            results={
                f"dev accuracy, {name}" + (f", at {one.rate:g}" if isinstance(one.dev, Result) else ""): one.dev
                for name, one in found.items()
            },
            captions={"bugs": "what each of five bugs does, at the learning rate that suits it"},
        )
        run.say_end()
    return found


if __name__ == "__main__":
    run(main, Config, __doc__)
