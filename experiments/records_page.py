"""Make experiments/results/records.md from what `python -m experiments.records` kept: searches, records, figures."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments import command_line
from experiments.records import RECIPES, Recipe
from experiments.results_file import read

FOLDER = Path(__file__).parent / "results"
ABOUT = """# Records

How far the networks that beginners build can go, trained by fnnet. Every candidate of a search was trained on 50,000
training images and compared on the other 10,000. The best of them (in a race to 99 %, the fastest of those well below 1
% there) was then trained on all 60,000 from several seeds, and the 10,000 test images were opened when all of them were
trained, once for a recipe unless its section says otherwise. Errors are means over the seeds, with their standard
deviation, of the network after its last step. Seconds are those of training alone, without loading and compiling, for
one seed; those of the whole command, from the shell and for all seeds, stand in the last column. Adam's learning rate
rises over a tenth of the steps to the one that is named, then falls to 0. The goal was set beforehand; "published" are
test errors in percent and their source. A search may be shorter than the training: its command says so. Where there are
two searches, the second starts from the winner of the first.

How networks are written: `784-800-10` are dense layers; `32 of 5x5` is a block of 32 filters of 5 x 5, 2 x 2
max-pooling and ReLU, to which residual blocks add f, two convolutions of 3 x 3: x + f(x); "dropout 0 and 0.3" are the
rates of the pixels and of the hidden activations; "noise of 0.2" is the standard deviation of Gaussian noise on the
pixels and before every ReLU.

No one reaches 0, since people disagree about some images. Reviewers found 15 of the 10,000 labels of MNIST's test
images wrong, 0.15 % (Northcutt, Athalye, Mueller 2021, arXiv 2103.14749), and of Fashion-MNIST's images people without
training in fashion name 83.5 % as the labels do (its authors' own table). The figures of mistakes show what is left.

"""
HEAD = """| what | test errors | goal | published | seconds of training | PyTorch: errors, seconds | command | whole |
|---|---|---|---|---|---|---|---|
"""
ONCE_MORE = """
## Once more, on another machine

What the same commands found in a fresh clone on another machine (`--copy-to experiments/results/again` keeps it). Its
processor is slower, so that goals in seconds may be missed there.

| what | test errors | goal | seconds of training | command |
|---|---|---|---|---|
"""
AGAIN = "again"
"""Folder in that of the results, for what is trained once more on another machine."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Make the page from the result files."""

    results: Path = FOLDER
    """Where the recipes and their searches left their files; the page is written there, too."""


def render(results: Path) -> str:
    """The page as Markdown."""
    found, again = (
        {name: _read(folder / f"records_{name}.json") for name in RECIPES} for folder in (results, results / AGAIN)
    )
    rows = [row(name, recipe, found[name]) for name, recipe in RECIPES.items()]
    sections = [section(name, recipe, found[name], results) for name, recipe in RECIPES.items()]
    return ABOUT + HEAD + "".join(rows) + machine(found) + repeated(again) + "".join(sections)


def repeated(again: dict[str, dict[str, Any] | None]) -> str:
    """A table of what was trained once more on another machine; empty where nothing was."""
    kept = {name: record for name, record in again.items() if record is not None}
    if not kept:
        return ""
    lines = [ONCE_MORE]
    for name, record in kept.items():
        recipe, errors, seconds = RECIPES[name], *(record["results"][w] for w in ("test errors", "seconds of training"))
        cells = f"{errors} | {recipe.verdict(errors, seconds)} | {seconds} | `{record['command']}`"
        lines.append(f"| [{recipe.title}](#{anchor(recipe.title)}) | {cells} |\n")
    return "".join(lines) + machine(kept)


def row(name: str, recipe: Recipe, record: dict[str, Any] | None) -> str:
    """A line of the table; recipes that were not trained say so."""
    if record is None:
        cells = [recipe.title, "not trained yet", recipe.goal(), recipe.published, "", "", "", ""]
    else:
        r = record["results"]
        verdict = recipe.verdict(r["test errors"], r["seconds of training"])
        peer = [str(r[what]) for what in ("test errors, PyTorch", "seconds of training, PyTorch") if what in r]
        cells = [
            f"[{recipe.title}](#{anchor(recipe.title)})", f"{r['test errors']}", verdict, recipe.published,
            f"{r['seconds of training']}", ", ".join(peer), f"`{record['command']}`", f"{record['seconds']:,.0f} s",
        ]  # fmt: skip
    return f"| {' | '.join(cells)} |\n"


def section(name: str, recipe: Recipe, record: dict[str, Any] | None, results: Path) -> str:
    """The candidates of a recipe's searches, its curves, and the worst mistakes of what won; empty without a search."""
    paths = sorted(results.glob(f"records_{name}_search*.json"))
    searches = [search for path in paths if (search := read(path)) is not None]
    if not searches:
        return ""
    lines = [f"\n## {recipe.title}\n\n"]
    lines += [f"Trained: {record['network'].partition(': ')[2]}.\n\n"] if record else []
    lines += [f"{recipe.remark}\n\n"] if recipe.remark else []
    for search in searches:
        lines += ["\n"] * (search is not searches[0])
        lines += [f"Searched with `{search['command']}`: errors on the images held out, and seconds.\n\n"]
        lines += ["| | candidate | errors |\n|---|---|---|\n"]
        for what, result in search["results"].items():
            number, _, candidate = what.partition(": validation errors, ")
            lines.append(f"| {number} | {candidate} | {result} |\n")
    for kept in (*searches, record):
        lines += [f"\n![{caption}]({file})\n" for file, caption in (kept["figures"] if kept else {}).items()]
    return "".join(lines)


def machine(found: Mapping[str, dict[str, Any] | None]) -> str:
    """Hardware and versions, each with the recipes that were trained there if there are several."""
    recipes: dict[str, list[str]] = {}
    for name, r in found.items():
        if r is not None:
            said = f"{r['hardware']}; " + ", ".join(f"{p} {n}" for p, n in r["versions"].items())
            recipes.setdefault(said, []).append(name)
    several = len(recipes) > 1
    lines = [f"{said} ({', '.join(names)})" if several else said for said, names in sorted(recipes.items())]
    return f"\nMeasured on: {'; '.join(lines)}.\n" if lines else ""


def anchor(title: str) -> str:
    """The link to a heading, as Markdown's readers make it."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c == "-")


def _read(path: Path) -> dict[str, Any] | None:
    return read(path) if path.exists() else None


def main(config: Config) -> None:
    path = config.results / "records.md"
    path.write_text(render(config.results), encoding="utf-8")
    print(f"written: {path}")


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
