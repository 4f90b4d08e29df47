"""The report: tables and figures of the stored measurements; measures nothing.

python -m experiments.benchmarks.report
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from experiments.benchmarks import closest, results, systems
from fnnet.plots.theme import logarithmic

NOTES = "notes.md"
"""Remarks written by hand, in the folder of the measurements."""


def write(folder: Path = results.FOLDER) -> Path:
    """Write `<folder>.md` and the figures; returns its path."""
    axes = {axis: results.read(folder, axis) for axis, _ in SECTIONS}
    found = [part for measured in axes.values() for part in measured.values()]
    if not found:
        raise SystemExit(f"{folder}: nothing measured yet; run python -m experiments.benchmarks")
    sections = [_head(found), _notes(folder)]
    sections += [_paragraphs(f(axes[a], folder), _measured_on(axes[a])) for a, f in SECTIONS if axes[a]]
    path = folder.with_suffix(".md")
    path.write_text(_paragraphs(*sections) + "\n")
    return path


def _head(found: list[dict]) -> str:
    versions = list(dict.fromkeys(_versions(part) for part in found))
    return _paragraphs(
        "# Speed, measured side by side",
        "Every system trains the same network from the same start on the same rows, with as many threads as there "
        "are cores. The systems take turns within a row of a table, and medians are shown unless a section says "
        "otherwise: compare within a row. "
        "`python -m experiments.benchmarks` measures everything; every section names the command that measures it "
        "by itself, and ends with the machine.",
        *versions,
    )


def _versions(part: dict) -> str:
    m = part["machine"]
    return ", ".join(f"{name} {version}" for name, version in {"Python": m["python"], **m["versions"]}.items()) + "."


def _measured_on(measured: dict) -> str:
    """The machines of a section; where there are several, each with its rows, unless these name the processor."""
    rows: dict[str, list[str]] = {}
    for row, part in measured.items():
        m = part["machine"]
        accelerator = "" if m["backend"] == "cpu" else f", {m['backend']} {m['device']}"
        names = rows.setdefault(f"{part['day']}, {m['cpu']}, {m['cores']} cores{accelerator}", [])
        names += [row] * (not row.endswith(m["cpu"]))
    said = (f"{where} ({', '.join(names)})" if names and len(rows) > 1 else where for where, names in rows.items())
    return f"Measured on: {'; '.join(said)}."


def _notes(folder: Path) -> str:
    path = folder / NOTES
    return path.read_text().strip() if path.exists() else ""


def _epochs(measured: dict, folder: Path) -> str:
    rows, near = sorted(measured.items(), key=lambda item: _order(item[0])), results.read(folder, "closest")
    known = [n for n in systems.MODULES if any(n in part["seconds"] for part in measured.values())]
    others = [n for n in known if n not in closest.NAMES]
    names = [n for n in known if n == systems.OURS or n in others]
    seconds = _table(
        ["network, batch", *names],
        ([key, *(_seconds(part["seconds"].get(n)) for n in names)] for key, part in rows),
    )
    ours = [(key, part) for key, part in rows if systems.OURS in part["over_fnnet"]]
    times = _table(
        ["network, batch", *others],
        ([key, *(_times(part["over_fnnet"].get(n)) for n in others)] for key, part in ours),
    )
    return _paragraphs(
        "## Seconds of an epoch",
        "`python -m experiments.benchmarks.epochs`. 60,000 MNIST rows, shuffled, Adam; XOR: one step of gradient "
        "descent on its four rows. Networks with more than half a million weights go through 12,000 rows, times "
        "five. Compilation is not counted. What runs on XLA like fnnet is in the next section, where it has the "
        "process to itself.",
        seconds,
        "How many times as long as fnnet (above 1: fnnet is faster):",
        times,
        _figure(folder, "epochs", _draw_epochs, [(key, _nearest(part, near.get(key, {}))) for key, part in rows]),
    )


def _nearest(part: dict, near: dict) -> dict:
    """Times over fnnet and the floor: those of `closest` where it has them, else those of `epochs`."""
    over = part["over_fnnet"] | near.get("over_fnnet", {})
    return {"over_fnnet": over} | {name: near[name] for name in ("floor", "over_floor") if name in near}


def _order(key: str) -> tuple:
    name, _, batch = key.rpartition(" ")
    return (0, len(key)) if key.startswith("XOR") else (sum(map(int, name.split("-"))), int(batch))


def _closest(measured: dict, folder: Path) -> str:
    _, scan, *others = closest.NAMES

    def row(key: str, part: dict) -> list[str]:
        floor = ["", ""]
        if "floor" in part:
            floor = [f"{part['over_floor'][systems.OURS]:.2f}", f"{part['floor_gflops']:.0f}"]
        spread = "{:.2f} to {:.2f}".format(*closest.extremes(part, systems.GRAD_SCAN))
        over_scan, *over = (_times(part["over_fnnet"].get(n)) for n in (scan, *others))
        return [key, _seconds(part["seconds"][systems.OURS]), over_scan, spread, *over, *floor]

    return _paragraphs(
        "## Compared with other programs on XLA, and with the floor",
        "`python -m experiments.benchmarks.closest`. The time of everything else on XLA over fnnet's, and "
        "fnnet's over the floor: the matrix products of the step on float32 batches that are ready, and nothing "
        "else, in the fastest of three forms. They take turns without a pause in separate processes: seconds "
        "are fewer than above, and more accurate. Medians of five processes; for the scan, which is nearly the "
        "same program, also the minimum and maximum of the five, which differ by how memory is laid out.",
        _table(
            ["network, batch", "fnnet", scan, "minimum to maximum", *others, "fnnet over the floor", "floor, GFLOP/s"],
            (row(*item) for item in sorted(measured.items(), key=lambda item: _order(item[0]))),
        ),
    )


def _compiling(measured: dict, folder: Path) -> str:
    def row(name: str, part: dict) -> list[str]:
        ours, theirs = part["fnnet"], part["jax.grad + optax, scan"]
        return [
            name,
            f"{ours['seconds']:.2f} s",
            f"{theirs['seconds']:.2f} s",
            f"{part['seconds_ratio']:.2f}",
            f"{ours['temporary_bytes'] / 1e6:.2f} MB",
            f"{theirs['temporary_bytes'] / 1e6:.2f} MB",
            f"{part['temporary_bytes_ratio']:.2f}",
        ]

    head = ["network", "fnnet compiles in", "jax.grad + optax", "ratio", "fnnet's temporary memory", "jax.grad + optax"]
    return _paragraphs(
        "## Compilation, and the memory that the compiled epoch needs",
        "`python -m experiments.benchmarks.compiling`. One epoch as one program, traced and compiled from nothing; "
        "layers of 128.",
        _table([*head, "ratio"], (row(*item) for item in measured.items())),
    )


def _cold_start(measured: dict, folder: Path) -> str:
    rows = sorted(measured.items(), key=lambda item: item[1]["seconds"])
    return _paragraphs(
        "## From the shell to 97.42 % on MNIST",
        "`python -m experiments.benchmarks.cold_start`. 784-128-64-10 in a process of its own: imports, files, "
        "training, the test images classified; mean of five processes with five seeds. The compilation cache is "
        "empty unless the row says so.",
        _table(
            ["system", "seconds", "all reach 97.42 %", "lowest accuracy", "peak memory of the process"],
            (
                [
                    name,
                    f"{part['seconds']:.2f}",
                    "yes" if part["all_reached"] else "no",
                    f"{100 * min(part['accuracies']):.2f} %",
                    f"{part['peak_mebibytes']:.0f} MiB",
                ]
                for name, part in rows
            ),
        ),
        _figure(folder, "cold_start", _draw_cold_start, rows),
    )


def _growth(measured: dict, folder: Path) -> str:
    rows = ([axis, *(_times(part["slopes"].get(name)) for name in GROWN)] for axis, part in measured.items())
    return _paragraphs(
        "## As work grows",
        "`python -m experiments.benchmarks.growth`. The slope of log seconds over log work in the larger half of "
        "the points: 1 is proportional, 0 is free.",
        _table(["what grows", *GROWN], rows),
        _figure(folder, "growth", _draw_growth, measured),
    )


GROWN = (systems.OURS, systems.GRAD_SCAN)


def _prediction(measured: dict, folder: Path) -> str:
    names = list(next(iter(measured.values()))["seconds"])
    return _paragraphs(
        "## Prediction",
        "`python -m experiments.benchmarks.prediction`. Bytes in, classes out, 784-128-64-10.",
        _table(
            ["images", *names],
            ([n, *(_seconds(part["seconds"][name]) for name in names)] for n, part in measured.items()),
        ),
    )


def _serving(measured: dict, folder: Path) -> str:
    names = list(next(iter(measured.values()))["seconds"])
    return _paragraphs(
        "## One row at a time",
        "`python -m experiments.benchmarks.serving`. A row of float32 in, probabilities out, both in NumPy. `fnnet` is "
        "`fnnet.predict` as anybody calls it, `fnnet, one program` the same within the caller's own `jax.jit`.",
        _table(
            ["network", *names],
            ([network, *(_seconds(part["seconds"][name]) for name in names)] for network, part in measured.items()),
        ),
    )


def _page(measured: dict, folder: Path) -> str:
    rows = [
        [name, *(f"{1e3 * s:.1f} ms" for s in part["seconds"].values()), f"{part['bytes'] / 1e3:.0f} KB"]
        for name, part in measured.items()
    ]
    return _paragraphs(
        "## The exported page",
        "`python -m experiments.benchmarks.page`. From pen-up until every layer is painted and the page laid out, in "
        "headless Chromium; medians.",
        _table(["network", "forward", "forward and backward", "the file"], rows),
    )


def _convolutions(measured: dict, folder: Path) -> str:
    return _steps(
        measured,
        "## Convolutional networks",
        "`python -m experiments.benchmarks.convolutions`, which says what the networks are. Milliseconds of a training "
        "step at batch 128, by Adam, batches in memory; medians of several processes (automatic differentiation in a "
        "scan: one). fnnet is what `fit` compiles, with an option of XLA for large convolutions; without it, the pure "
        "function. Matrix products: what the layers multiply, as plain products.",
    )


def _sequences(measured: dict, folder: Path) -> str:
    return _steps(
        measured,
        "## Networks over tokens",
        "`python -m experiments.benchmarks.sequences`, which says what the networks are. Milliseconds of a training "
        "step by Adam, batches in memory; medians of several processes. Rounded: what products multiply is rounded to "
        "bfloat16, in PyTorch by autocast.",
    )


def _steps(measured: dict, title: str, words: str) -> str:
    """Training steps of networks: their times, those of others over fnnet's, and what compiling takes."""
    names = list(dict.fromkeys(name for part in measured.values() for name in part["milliseconds"]))

    milliseconds = _table(
        ["network, processor", *names],
        ([net, *(_cell(part, name, "{:,.1f}") for name in names)] for net, part in measured.items()),
    )
    times = _table(
        ["network, processor", *names[1:]],
        (
            [net, *(_cell(part, name, "{:.2f}", part["milliseconds"][systems.OURS]) for name in names[1:])]
            for net, part in measured.items()
        ),
    )

    def over(values: dict[str, float]) -> str:
        """fnnet's over the other system's."""
        (other,) = (value for name, value in values.items() if name != systems.OURS)
        return f"{values[systems.OURS] / other:.2f}"

    compiling = _table(
        ["network, processor", "compile time over jax.grad's", "temporary memory over jax.grad's"],
        ([net, over(part["compile_seconds"]), over(part["temporary_bytes"])] for net, part in measured.items()),
    )
    return _paragraphs(
        title,
        words,
        milliseconds,
        "How many times as long as fnnet (above 1: fnnet is faster):",
        times,
        "One step, compiled by itself:",
        compiling,
    )


def _cell(part: dict, name: str, form: str, of: float = 1.0) -> str:
    """A system's milliseconds divided by `of`; empty where it was left out."""
    return form.format(part["milliseconds"][name] / of) if name in part["milliseconds"] else ""


def _tricks(measured: dict, folder: Path) -> str:
    rows = [
        [name, what, _amount(what, at["trick"]), _amount(what, at["plain"]), f"{at['trick'] / at['plain']:.2f}"]
        for name, part in measured.items()
        for what, at in part.items()
        if isinstance(at, dict) and "trick" in at
    ]
    return _paragraphs(
        "## What each file of fnnet/_xla gains",
        "`python -m experiments.benchmarks.tricks`. The program as it is, and written plainly, alternately.",
        _table(["file", "what", "as it is", "plain", "ratio"], rows),
    )


def _variants(measured: dict, folder: Path) -> str:
    rows = (
        [network, variant, f"{ms:.2f}", f"{part['ratios'][variant]:.2f}"]
        for network, part in measured.items()
        for variant, ms in part["milliseconds"].items()
    )
    return _paragraphs(
        "## Distortions, and products in bfloat16",
        "`python -m experiments.benchmarks.steps`. Milliseconds of a training step by Adam; the ratio is the median of "
        "those to the plain step of the same round. Distortions are drawn anew for every image.",
        _table(["network", "step", "ms", "ratio"], rows),
    )


def _amount(what: str, value: float) -> str:
    return _seconds(value) if what.startswith("seconds") else f"{value / 1e6:.2f} MB"


SECTIONS = (
    ("epochs", _epochs),
    ("closest", _closest),
    ("compiling", _compiling),
    ("cold_start", _cold_start),
    ("growth", _growth),
    ("prediction", _prediction),
    ("serving", _serving),
    ("page", _page),
    ("steps", _variants),
    ("convolutions", _convolutions),
    ("sequences", _sequences),
    ("tricks", _tricks),
)


def _paragraphs(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    if value < 1e-6:
        return f"{1e9 * value:.0f} ns"
    if value < 1e-3:
        return f"{1e6 * value:.1f} µs"
    return f"{1e3 * value:.1f} ms" if value < 0.1 else f"{value:.2f} s"


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _figure(folder: Path, name: str, draw: Any, measured: Any) -> str:
    import matplotlib.pyplot as plt

    figure = draw(plt, measured)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=120, bbox_inches="tight")
    plt.close(figure)
    return f"![{name}]({folder.name}/{name}.png)"


def _draw_epochs(plt: Any, rows: list) -> Any:
    """Times as long as fnnet, one dot per system and row; fnnet is the line at 1."""
    from matplotlib.ticker import LogLocator

    figure, axes = plt.subplots(figsize=(9, 0.42 * len(rows) + 1.4))
    names = [n for n in systems.MODULES if n != systems.OURS]
    for i, name in enumerate(names):
        known = [(r, part["over_fnnet"][name]) for r, (_, part) in enumerate(rows) if name in part["over_fnnet"]]
        if known:
            at, times = zip(*known, strict=True)
            axes.plot(times, at, "osD^vP*X<>"[i], label=name, markersize=6, alpha=0.85)
    floors = [(r, 1 / part["over_floor"][systems.OURS]) for r, (_, part) in enumerate(rows) if "floor" in part]
    if floors:
        at, times = zip(*floors, strict=True)
        axes.plot(times, at, "|", color="black", markersize=12, label="floor")
    axes.axvline(1, color="black", linewidth=1)
    axes.set(xscale="log", xlabel="times as long as fnnet (fnnet = 1)", yticks=range(len(rows)))
    axes.set_yticklabels([key if key.startswith("XOR") else key.replace(" ", ", batch ") for key, _ in rows])
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def _draw_cold_start(plt: Any, rows: list) -> Any:
    figure, axes = plt.subplots(figsize=(8, 0.4 * len(rows) + 1))
    names = [name if part["all_reached"] else f"{name} (not all reach it)" for name, part in rows]
    colors = ["tab:blue" if name.startswith(systems.OURS) else "0.6" for name in names]
    axes.barh(names, [part["seconds"] for _, part in rows], color=colors)
    for i, (_, part) in enumerate(rows):
        axes.plot(part["each"], [i] * len(part["each"]), "k.", markersize=3)
    axes.set(xlabel="seconds from the shell to 97.42 % (dots: each process)")
    axes.invert_yaxis()
    return figure


def _draw_growth(plt: Any, measured: dict) -> Any:
    """One panel for everything that grows, three in a row; one legend in the cell that is left over."""
    rows = len(measured) // 3 + 1
    figure, panels = plt.subplots(rows, 3, figsize=(9.6, 3.1 * rows), squeeze=False, layout="constrained")
    handles: dict[str, Any] = {}
    for axes, (axis, part) in zip(panels.flat, measured.items(), strict=False):
        for name, seconds in part["seconds"].items():
            (handles[name],) = axes.loglog(part["at"], seconds, "o-", markersize=4)
        axes.set(xlabel=axis, title="slope " + " and ".join(f"{value:.2f}" for value in part["slopes"].values()))
        axes.set_xticks(part["at"], [f"{n:,}" for n in part["at"]], rotation=30)
        axes.minorticks_off()
        logarithmic(axes)
        axes.grid(alpha=0.3)
    for row in panels:
        row[0].set_ylabel("seconds of an epoch")
    for left in panels.flat[len(measured) :]:
        left.axis("off")
    legend = {"title": "slopes in this order", "loc": "center", "frameon": False}
    panels.flat[len(measured)].legend(handles.values(), handles, **legend)
    return figure


if __name__ == "__main__":
    print(write())
