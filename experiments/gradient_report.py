"""How far are fnnet's hand-derived gradients from automatic differentiation and from finite differences?

Runs fnnet.check_gradients over every public layer, loss and penalty and over networks up to six layers deep, and
again with every gradient multiplied by 1.0001, which must be caught. Writes a table and a chart.
"""

import dataclasses
import platform
import time
from collections.abc import Container, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import fnnet
from experiments import command_line
from fnnet.inspection.gradient_checker import Report
from fnnet.plots.theme import empty_figure
from fnnet.protocols import Key, Layer

ACTIVATIONS = (
    fnnet.Identity(),
    fnnet.Sigmoid(),
    fnnet.HardSigmoid(),
    fnnet.Tanh(),
    fnnet.Relu(),
    fnnet.LeakyRelu(),
    fnnet.Elu(),
    fnnet.Selu(),
    fnnet.Gelu(),
    fnnet.Gelu(approximate=True),
    fnnet.Silu(),
    fnnet.Softplus(),
    fnnet.Exp(),
    fnnet.Softmax(),
)
CLASSES = np.array([2, 0, 3], np.int32)
TOKENS = np.array([[1, 3, 1, 0], [4, 1, 0, 0], [2, 2, 2, 2]], np.int32)
NEXT = np.array([[2, -1, 0], [0, 1, 3], [-1, -1, 2]], np.int32)


class Reference(NamedTuple):
    """What gradients are compared with: its name in a report, its name in the table, the limit and a color."""

    against: str
    title: str
    limit: float
    color: str


REFERENCES = (
    Reference("jax.vjp float64", "jax.vjp, float64", 1e-12, "#4269d0"),
    Reference("jax.vjp float32", "jax.vjp, float32", 5e-6, "#efb118"),
    Reference("finite differences", "finite differences", 1e-7, "#6cc5b0"),
    Reference("second order", "second order", 1e-10, "#a463f2"),
)


class Subject(NamedTuple):
    """What is checked: a spec, the shape it is given, and targets or inputs where they are not the usual ones.

    one_sided  branches of which inputs take one side only: {name: why}
    """

    name: str
    spec: Any
    in_shape: tuple[int, ...] | None = None
    targets: Any = None
    x: Any = None
    one_sided: Mapping[str, str] = MappingProxyType({})


def layers() -> list[Subject]:
    """Every layer by itself."""
    composites = (
        fnnet.Serial((fnnet.Dense(4), fnnet.Tanh(), fnnet.Dense(2))),
        fnnet.Residual(fnnet.Serial((fnnet.Dense(5), fnnet.Sigmoid()))),
        fnnet.Residual(fnnet.Dense(3), fnnet.Dense(3)),
        fnnet.Parallel((fnnet.Dense(2), fnnet.Tanh())),
    )
    plain = (
        fnnet.Dense(4),
        fnnet.Dense(4, biases=None),
        fnnet.Dropout(0.3),
        fnnet.Noise(0.3),
        fnnet.Rescale(0.5),
        fnnet.Standardize(0.5, 2.0),
        fnnet.Flatten(),
    )
    normal = (fnnet.BatchNorm(), fnnet.LayerNorm(), fnnet.RmsNorm())
    images = (
        fnnet.Conv(3, (3, 3)),
        fnnet.Conv(4, (3, 2), stride=2, dilation=(1, 2), groups=2),
        fnnet.Conv(4, (3, 3), groups=4),
        fnnet.ConvTranspose(3, (3, 3), stride=2),
        fnnet.MaxPool((2, 2)),
        fnnet.MaxPool((3, 3), stride=2, padding="same"),
        fnnet.MeanPool((2, 2)),
        fnnet.MeanPool((3, 3), stride=2, padding="same"),
        fnnet.GlobalMeanPool(),
        fnnet.GlobalMaxPool(),
        fnnet.GroupNorm(2),
        fnnet.Reshape((8, 12)),
        fnnet.Affine(rotation=20, scale=0.1, shear=0.1, shift=1.5),
        fnnet.Elastic(20, 2, affine=fnnet.Affine(shift=1.5)),
        fnnet.Mirror(0.35),
        fnnet.Cutout(3),
    )
    sequences = (
        fnnet.Positions(),
        fnnet.Attention(2),
        fnnet.Attention(2, causal=False, rotary=True),
        fnnet.Recurrent(fnnet.Rnn(4)),
        fnnet.Recurrent(fnnet.Gru(4)),
        fnnet.Recurrent(fnnet.Lstm(4)),
        fnnet.LastStep(),
    )
    rows = [Subject(repr(layer), layer, (5,)) for layer in (*ACTIVATIONS, *plain, *composites, *normal)]
    rows += [Subject(repr(layer), layer, (4, 6, 4)) for layer in images]
    rows += [Subject(repr(layer), layer, (7, 4)) for layer in sequences]
    embedding = fnnet.Embedding(5, 3)
    return [*rows, Subject(repr(embedding), embedding, (4,), x=TOKENS)]


def losses() -> list[Subject]:
    """Every loss, with every kind of target it takes."""
    smooth = fnnet.SoftmaxCrossEntropy(label_smoothing=0.1)
    numbers = (fnnet.SquaredError(), fnnet.AbsoluteError(), fnnet.Huber(0.3))
    infinite = {"Poisson.forward: minimum": "beyond 800 the loss is infinite"}
    return [
        Subject("SoftmaxCrossEntropy(), classes", fnnet.SoftmaxCrossEntropy(), (4,), CLASSES),
        Subject("SoftmaxCrossEntropy(), probabilities", fnnet.SoftmaxCrossEntropy(), (4,)),
        Subject(f"{smooth!r}, classes", smooth, (4,), CLASSES),
        Subject("SoftmaxCrossEntropy(no_target=-1), sequences", fnnet.SoftmaxCrossEntropy(no_target=-1), (3, 4), NEXT),
        Subject("SigmoidBinaryCrossEntropy()", fnnet.SigmoidBinaryCrossEntropy(), (4,)),
        *(Subject(repr(loss), loss, (4,)) for loss in numbers),
        Subject("Poisson()", fnnet.Poisson(), (4,), one_sided=infinite),
    ]


def penalties() -> list[Subject]:
    """Every penalty, on weights alone and on biases too."""
    return [Subject(repr(p), p) for p in (fnnet.L1(0.1), fnnet.L1(0.1, 0.2), fnnet.L2(0.1), fnnet.L2(0.1, 0.2))]


def networks() -> list[Subject]:
    """For every activation that does not overflow, networks of 2, 4 and 6 layers with a loss and a penalty."""
    tame = [a for a in ACTIVATIONS if not isinstance(a, fnnet.Exp)]
    return [
        Subject(
            f"{depth} layers of {activation!r}",
            fnnet.mlp((5, *(6,) * (depth - 1), 4), activation=activation, penalty=fnnet.L2(1e-3, 1e-3)),
        )
        for depth in (2, 4, 6)
        for activation in tame
    ]


@fnnet.spec
class Scaled:
    """A layer whose backward is `factor` times too large: what the checker must catch."""

    inner: Layer
    factor: fnnet.Number

    def init(self, key: Any, in_shape: tuple[int, ...]) -> Any:
        return self.inner.init(key, in_shape)

    def forward(self, params: Any, x: Any, *, key: Any = None) -> Any:
        return self.inner.forward(params, x, key=key)

    def backward(self, params: Any, residuals: Any, dy: Any) -> Any:
        return jax.tree.map(lambda g: jnp.asarray(self.factor, g.dtype) * g, self.inner.backward(params, residuals, dy))


class Row(NamedTuple):
    """One row of the table; errors: the largest of any tensor, against each of REFERENCES."""

    name: str
    group: str
    errors: tuple[float, ...]
    tensors: int
    left_out: tuple[str, ...]
    passed: bool
    caught: str


@dataclasses.dataclass(frozen=True)
class Config:
    """Check every public gradient."""

    results: Path = Path("experiments/results")
    """Folder for gradients.md and gradients.png."""
    seed: int = 0
    """Seed of inputs, parameters and cotangents."""
    depths: bool = True
    """Also check networks of 2, 4 and 6 layers (39 of them)."""


def check(subject: Subject, key: Key) -> Row:
    """The report on one subject, and for a layer whether a gradient 1.0001 times too large is caught."""
    report = fnnet.check_gradients(
        subject.spec,
        subject.in_shape,
        key=key,
        targets=subject.targets,
        x=subject.x,
        expected_one_sided=subject.one_sided,
        second_order=True,
    )
    caught = "-"
    if subject.in_shape and hasattr(subject.spec, "init"):
        scaled = Scaled(subject.spec, 1.0001)
        wrong = fnnet.check_gradients(scaled, subject.in_shape, key=key, x=subject.x)
        caught = "yes" if all_caught(wrong, {vacuity.what for vacuity in report.vacuous}) else "NO"
    return Row(
        subject.name,
        group_of(subject),
        tuple(report.worst(reference.against) for reference in REFERENCES),
        len({c.tensor for c in report.checks}),
        report.left_out,
        not report.failed and not report.unexpected,
        caught,
    )


def group_of(subject: Subject) -> str:
    """The row of the chart that shows it."""
    spec = subject.spec
    if isinstance(spec, fnnet.Model):
        return f"networks of {subject.name.split(' of ')[0]}"
    if type(spec) in {type(activation) for activation in ACTIVATIONS}:
        return "activations"
    return "layers" if hasattr(spec, "init") else "losses" if hasattr(spec, "predict") else "penalties"


def all_caught(report: Report, zero: Container[str] = ()) -> bool:
    """Whether every tensor failed against jax.vjp in both dtypes, and against finite differences.

    Running statistics, and the tensors named in zero, aside: their gradients are 0, and so is any multiple of them.
    """
    against = {reference.against for reference in REFERENCES} & {c.against for c in report.checks}
    moving = [c for c in report.checks if c.tensor not in zero and ".statistics." not in c.tensor]
    scaled = [c for c in moving if c.against in against]
    return all(not c.passed for c in scaled)


def table(rows: list[Row], seconds: float, seed: int) -> str:
    """The report as Markdown."""
    lines = [
        "# Gradients",
        "",
        f"`python -m experiments.gradient_report --seed {seed}`: the largest error of any tensor (limits 1e-12, 5e-6,",
        "1e-7 and 1e-10; second order is the derivative of the gradient along a random direction), and whether every",
        "tensor of every gradient multiplied by 1.0001 was caught. "
        f"jax {jax.__version__}, numpy {np.__version__}, Python {platform.python_version()}, "
        f"{jax.default_backend()}, {seconds:.0f} s.",
        "",
        f"| | tensors | {' | '.join(r.title for r in REFERENCES)} | within limits | 1.0001 caught |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        errors = " | ".join(f"{e:.1e}" for e in r.errors)
        lines.append(f"| `{r.name}` | {r.tensors} | {errors} | {'yes' if r.passed else '**NO**'} | {r.caught} |")
    left_out: dict[str, list[str]] = {}
    for name, why in ((r.name, why) for r in rows for why in r.left_out):
        left_out.setdefault(why, []).append(f"`{name}`")
    places = sum(map(len, left_out.values()))
    lines += ["", f"Left out in {places} places, of {sum(r.tensors for r in rows)} tensors:", ""]
    lines += [f"- {why}. In {', '.join(names)}." for why, names in left_out.items()]
    return "\n".join(lines) + "\n\n![Errors of every gradient](gradients.png)\n"


def chart(rows: list[Row]) -> Any:
    """Every spec's errors as dots, one row per group and reference; limits as lines, exact zeros at the left edge."""
    groups = list(dict.fromkeys(r.group for r in rows))
    figure = empty_figure(8.5, 1.6 + 0.62 * len(groups))
    axis = figure.subplots()
    floor = 1e-18
    for i, (_, title, limit, color) in enumerate(REFERENCES):
        errors = [max(r.errors[i], floor) for r in rows]
        heights = [groups.index(r.group) + 0.18 * (i - 1.5) for r in rows]
        axis.scatter(errors, heights, s=22, color=color, alpha=0.6, linewidth=0, label=title, zorder=3)
        axis.axvline(limit, color=color, linewidth=1, linestyle="--", zorder=1)
    axis.set(xscale="log", xlim=(floor / 2, 1e-4), ylim=(len(groups) - 0.5, -0.5))
    axis.set_xlabel("largest error of any tensor; dashed: the limit of the same color; left edge: exactly equal")
    counts = [sum(r.group == group for r in rows) for group in groups]
    axis.set_yticks(range(len(groups)), [f"{group} ({n})" for group, n in zip(groups, counts, strict=True)])
    axis.hlines(np.arange(len(groups) - 1) + 0.5, floor / 2, 1e-4, color="#bbbbbb", linewidth=0.4)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    return figure


def main(config: Config) -> list[Row]:
    from tqdm import tqdm

    start, key = time.perf_counter(), jax.random.key(config.seed)
    subjects = [*layers(), *losses(), *penalties(), *(networks() if config.depths else [])]
    rows = [check(subject, key) for subject in tqdm(subjects, unit="spec")]
    config.results.mkdir(parents=True, exist_ok=True)
    (config.results / "gradients.md").write_text(table(rows, time.perf_counter() - start, config.seed))
    chart(rows).savefig(config.results / "gradients.png")
    wrong = [r.name for r in rows if not r.passed or r.caught == "NO"]
    print(f"{len(rows) - len(wrong)} of {len(rows)} within the limits; {config.results / 'gradients.md'}")
    if wrong:
        raise SystemExit("outside the limits, or a wrong gradient not caught: " + ", ".join(wrong))
    return rows


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
