"""How wide, how deep? Every width with every depth, with ReLU and with sigmoids, as a map made by one sweep.

Networks of 0 to 8 hidden layers of equal width learn MNIST by plain gradient descent, each at several learning rates
and from several seeds; the map shows the validation accuracy at the best rate of each. Beside it, before any training:
how much smaller the gradient of the first layer is than that of the last. No test image is used. Widths, depths and
the number of epochs are ours.
"""

import dataclasses
from typing import Any, Literal

import jax
import numpy as np

import fnnet
from experiments.classification import TrainingSettings, check_settings, split_off
from experiments.command_line import KeptSettings, run
from experiments.results_file import Result
from experiments.run_folder import RunFolder
from fnnet import plots
from fnnet.plots.theme import empty_figure
from fnnet.sweeps import Configuration, Point, Results, sweep

KINDS = {"ReLU": (fnnet.Relu(), fnnet.HeNormal()), "sigmoid": (fnnet.Sigmoid(), fnnet.GlorotNormal())}


@dataclasses.dataclass(frozen=True)
class Config(TrainingSettings, KeptSettings):
    """Settings of the sweep."""

    data: Literal["mnist", "digits"] = "mnist"
    """Images to learn; `digits` (8 x 8, embedded) is quick."""
    rows: int = 20_000
    """How many of the training images are used, a part of them to judge."""
    widths: tuple[int, ...] = (4, 16, 64)
    """Neurons in every hidden layer."""
    depths: tuple[int, ...] = (0, 1, 2, 4, 8)
    """How many hidden layers."""
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    """Learning rates of gradient descent; the best counts."""
    seeds: int = 2
    """Networks of each kind."""
    epochs: int = 5
    """How often every training image is seen."""
    validation_fraction: float = 1 / 6
    """Fraction of the training images that judge."""


def build(kind: str, width: int, depth: int, shape: tuple[int, ...], scale: float) -> fnnet.Model:
    """`depth` hidden layers of `width` neurons; with 0, softmax regression."""
    activation, weights = KINDS[kind]
    sizes = (int(np.prod(shape)), *[width] * depth, 10)
    return fnnet.mlp(sizes, activation=activation, weights=weights, input_shape=shape, scale=scale)


def points(config: Config, shape: tuple[int, ...], scale: float) -> tuple[Point, ...]:
    """Every combination; without a hidden layer, width and activation change nothing, so there is one such network."""
    combinations = [
        (kind, width, depth)
        for kind in KINDS
        for width in config.widths
        for depth in config.depths
        if depth or (kind, width) == ("ReLU", config.widths[0])
    ]
    return tuple(
        Point(
            {"activation": kind, "width": width, "depth": depth, "rate": rate},
            Configuration(build(kind, width, depth, shape, scale), fnnet.Sgd(rate), config.batch_size),
        )
        for kind, width, depth in combinations
        for rate in config.rates
    )


def accuracies(results: Results, chosen: tuple[Point, ...]) -> dict[tuple[Any, Any, Any], tuple[Any, np.ndarray]]:
    """(activation, width, depth) -> (its best rate, validation accuracies in percent, one per seed)."""
    found: dict[tuple[Any, Any, Any], tuple[Any, np.ndarray]] = {}
    for number in map(int, results.ranking()):
        kind, width, depth, rate = chosen[number].settings.values()
        values = 100 * results.metric("validation_accuracy")[results.point == number]
        found.setdefault((kind, width, depth), (rate, values))
    return found


def gradient_ratio(kind: str, width: int, depth: int, batch: fnnet.Batch, scale: float, seeds: int = 5) -> float:
    """Before training: norm of the gradient of the first layer / of the last, the geometric mean over the seeds."""
    model, optimizer = build(kind, width, depth, batch.x.shape[1:], scale), fnnet.Sgd(0.1)
    ratios = []
    for seed in range(seeds):
        state = fnnet.init_state(model, optimizer, jax.random.key(seed))
        layers = fnnet.layer_statistics(model, optimizer, state, batch).values()
        norms = [float(s.gradient_norm) for s in layers if s.gradient_norm is not None]
        ratios.append(norms[0] / norms[-1])
    return float(np.exp(np.mean(np.log(np.maximum(ratios, 1e-30)))))


def draw(found: dict[tuple[Any, Any, Any], tuple[Any, np.ndarray]], ratios: dict[str, list[float]], c: Config) -> Any:
    """A Figure: a map of the accuracy for each activation, and the vanishing gradient over the depth."""
    figure = empty_figure(11.5, 3.6)
    axes = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))
    depths = [d for d in c.depths if d]
    for axis, kind in zip(axes, KINDS, strict=False):
        values = np.array([[found[kind, width, depth][1].mean() for depth in depths] for width in c.widths])
        axis.imshow(values, cmap="viridis", vmin=10, vmax=100, aspect="auto", origin="lower")
        for (row, column), value in np.ndenumerate(values):
            color = "black" if value > 60 else "white"
            axis.text(column, row, f"{value:.1f}", ha="center", va="center", color=color, fontsize=10)
        axis.set_xticks(range(len(depths)), depths)
        axis.set_yticks(range(len(c.widths)), c.widths)
        axis.set(xlabel="hidden layers", ylabel="width", title=f"{kind}: validation accuracy in %")
    colors = dict(zip(KINDS, plots.COLORS, strict=False))
    for kind, values in ratios.items():
        axes[2].plot(depths, values, "o-", color=colors[kind], label=kind)
    axes[2].set(xlabel="hidden layers", yscale="log", title="gradient: first layer / last, before training")
    axes[2].set_xticks(depths)
    axes[2].legend(frameon=False)
    axes[2].spines[["top", "right"]].set_visible(False)
    return figure


def main(config: Config) -> None:
    check_settings(config)
    if any(width < 1 for width in config.widths) or any(depth < 0 for depth in config.depths):
        raise SystemExit(f"--widths --depths: expected 1 or more and 0 or more, got {config.widths}, {config.depths}")
    folder = RunFolder("width_depth", config)
    train = fnnet.datasets.digits() if config.data == "digits" else fnnet.datasets.mnist()[0]
    scale = 1 / 16 if config.data == "digits" else 1 / 255
    train = fnnet.Batch(train.x[: config.rows], train.y[: config.rows])
    train, validation = split_off(train, config.validation_fraction)
    chosen = points(config, train.x.shape[1:], scale)
    with folder as run:
        results = sweep(
            chosen, train, epochs=config.epochs, seeds=config.seeds, shuffle=jax.random.key(1), validation=validation,
            rank_by="accuracy", progress=config.progress,
        )  # fmt: skip
        results.to_csv(run.path / "results.csv")
        found, probe = accuracies(results, chosen), fnnet.Batch(train.x[:500], train.y[:500])
        width = config.widths[len(config.widths) // 2]
        depths = [depth for depth in config.depths if depth]
        ratios = {kind: [gradient_ratio(kind, width, depth, probe, scale) for depth in depths] for kind in KINDS}
        words: dict[str, Result | str] = {}
        for (kind, wide, depth), (rate, values) in sorted(found.items()):
            hidden = f"{depth} x {wide} {kind}" if depth else "no hidden layer"
            name = f"validation accuracy, {hidden} at {rate:g}"
            words[name] = Result(values.tolist(), "%", range(config.seeds), 1)
            print(f"{words[name]}  {name}")
        for kind, values in ratios.items():
            for depth, value in zip(depths, values, strict=True):
                words[f"gradient of the first layer / of the last, {depth} x {width} {kind}"] = f"{value:.1g}"
        run.figure("width_depth", draw(found, ratios, config))
        run.record(
            "width_depth",
            network=f"0 to {max(config.depths)} equal hidden layers, gradient descent, {config.epochs} epochs, "
            f"{len(train.y):,} images, each at the best of {len(config.rates)} rates",
            results=words,
            captions={"width_depth": "accuracy over width and depth, and where gradients vanish"},
        )
        run.say_end()


if __name__ == "__main__":
    run(main, Config, __doc__)
