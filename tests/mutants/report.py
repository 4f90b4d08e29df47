"""The report of a run: a table of functions, the survivors, and the equivalent mutants with their reasons."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version

from .equivalent import EQUIVALENT
from .runner import Verdict
from .targets import LEFT_OUT, SAMPLED


@dataclass(frozen=True)
class Cost:
    """How many mutants there are, and how long those that ran took, added up."""

    made: int
    seconds: float


def survivors(verdicts: list[Verdict]) -> list[Verdict]:
    """Those that no test killed, though they compute something else."""
    return [v for v in verdicts if v.killer is None and not (v.mutant.equivalent or v.mutant.key in EQUIVALENT)]


def markdown(verdicts: list[Verdict], cost: Cost, stale: list[tuple], failing: list[str]) -> str:
    """The whole report."""
    alive = survivors(verdicts)
    equal = [v for v in verdicts if v.killer is None and v.mutant.key in EQUIVALENT]
    wrong = [v for v in verdicts if v.killer is not None and v.mutant.key in EQUIVALENT]
    counted = len(verdicts) - len(equal)
    killed = counted - len(alive)
    wrong_numbers = sum(v.killer is not None and not v.crashed for v in verdicts)
    hung = sum(v.killer == "timeout" for v in verdicts)
    lines = [
        "# Proof of the tests by mutation",
        "",
        f"**{killed} of {counted} mutants are killed: {killed / max(counted, 1):.2%}.** "
        f"{len(equal)} more compute the same as the original (named below), "
        f"{len(alive)} survive, {hung} timed out. {wrong_numbers} were killed by wrong numbers, "
        f"{killed - wrong_numbers} by an error.",
        "",
        "A mutant is one small fault in one function (`tests/mutants/operators.py`), swapped into the running process; "
        "the tests of that function run until one fails (`tests/mutants/targets.py`), which kills the mutant. "
        "Checks of shapes and types are off, so the numbers have to give it away.",
        "",
        f"{len(verdicts)} of {cost.made} mutants ran: "
        + ", ".join(f"at most {most} per function of `{module}`" for module, most in SAMPLED.items())
        + ", the same sample every time; all of the others. `--every` runs the rest, too.",
        "",
        f"`python -m tests.mutants`: {cost.seconds / 60:.1f} minutes of all its processes together, on "
        f"{platform.machine()}, "
        f"Python {platform.python_version()}, jax {version('jax')}, numpy {version('numpy')}.",
        "",
        "Left out: " + "; ".join(f"`{pattern}` ({reason})" for pattern, reason in LEFT_OUT.items()) + ".",
        "",
        *section("Survivors", (f"{described(v)}" for v in alive)),
        *section("Tests that fail without any mutant", (f"`{test}`" for test in failing)),
        *section("Listed as equivalent, yet killed", (f"{described(v)}: {v.killer}" for v in wrong)),
        *section("Entries of `equivalent.py` that match no mutant", (f"`{key}`" for key in stale)),
        "## Functions",
        "",
        "| function | mutants | killed | of these by wrong numbers | equivalent | survivors |",
        "|---|--:|--:|--:|--:|--:|",
        *rows(verdicts),
        "",
        "## Operators",
        "",
        "| operator | mutants | killed |",
        "|---|--:|--:|",
        *operators(verdicts),
        "",
        *section("Equivalent mutants", (f"{described(v)}: {EQUIVALENT[v.mutant.key]}" for v in equal)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def mistakes_markdown(verdicts: list[Verdict], wrong: list[str], failing: list[str], made: int) -> str:
    """The report on the handwritten mistakes that ran, of so many; `wrong` is what each gets wrong."""
    alive = survivors(verdicts)
    equal = [(v, text) for v, text in zip(verdicts, wrong, strict=True) if v.killer is None and v not in alive]
    noticed = [(v, text) for v, text in zip(verdicts, wrong, strict=True) if v.killer is not None]
    lines = [
        "# Mistakes that people make",
        "",
        f"**{len(noticed)} of {len(noticed) + len(alive)} handwritten mistakes are detected.** {len(equal)} more "
        f"compute the same as the original (named below)."
        + f" {len(verdicts)} of {made} ran."
        * (len(verdicts) < made),
        "",
        "Each is a plausible mistake in what carries the mathematics: training, streams, replay, sweeps, checkpoints, "
        "data, what looks at networks (`tests/mutants/handwritten/`). It is swapped into the running process, and the "
        "tests that are named for it run until one fails. `python -m tests.mutants --handwritten`.",
        "",
        *section(
            "Not detected", (f"{text}: {described(v)}" for v, text in zip(verdicts, wrong, strict=True) if v in alive)
        ),
        *section("Tests that fail without any mistake", (f"`{test}`" for test in failing)),
        "| function | mistake | detected by |",
        "|---|---|---|",
        *(f"| `{name_of(v)}` | {text} | {killer_of(v)} |" for v, text in noticed),
        "",
        *section("Computes the same", (f"`{name_of(v)}`: {text}: {v.mutant.equivalent}" for v, text in equal)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def name_of(verdict: Verdict) -> str:
    """The function, without the package."""
    return verdict.mutant.target.removeprefix("fnnet.").replace(":", ".")


def killer_of(verdict: Verdict) -> str:
    """The test that failed, without its parameters."""
    test = (verdict.killer or "").split("[")[0].removeprefix("tests/")
    return f"`{test}`" if "::" in test else "a time-out"


def described(verdict: Verdict) -> str:
    """One mutant on one line."""
    m = verdict.mutant
    return f"`{m.target.removeprefix('fnnet.')}` line {m.line}, {m.operator}: `{m.change}`"


def section(title: str, items: Iterator[str]) -> list[str]:
    """A list under a heading; nothing if it is empty."""
    lines = [f"- {item}" for item in items]
    return [f"## {title}", "", *lines, ""] if lines else []


def rows(verdicts: list[Verdict]) -> Iterator[str]:
    """One row per function."""
    for target in dict.fromkeys(v.mutant.target for v in verdicts):
        own = [v for v in verdicts if v.mutant.target == target]
        alive, killed = len(survivors(own)), sum(v.killer is not None for v in own)
        name = target.removeprefix("fnnet.").replace(":", ".")
        numbers = sum(v.killer is not None and not v.crashed for v in own)
        yield f"| {name} | {len(own)} | {killed} | {numbers} | {len(own) - killed - alive} | {alive} |"


def operators(verdicts: list[Verdict]) -> Iterator[str]:
    """One row per operator."""
    for operator in sorted({v.mutant.operator for v in verdicts}):
        own = [v for v in verdicts if v.mutant.operator == operator]
        yield f"| {operator} | {len(own)} | {sum(v.killer is not None for v in own)} |"
