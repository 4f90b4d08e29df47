"""Put every small fault into the library, one at a time, and check that a test detects it.

    python -m tests.mutants
    python -m tests.mutants --only '*Relu*'
    python -m tests.mutants --only '*Dense.backward' --list
    python -m tests.mutants --fresh
    python -m tests.mutants --handwritten

Verdicts are recorded as they come. A run that was interrupted, or follows a change, takes over those that still count
(`record.py` says which); --fresh runs everything again.

Exit code 1 if a mutant survives that `equivalent.py` does not name, or a test fails without any mutant.
"""

import dataclasses
import fnmatch
import random
import sys
from pathlib import Path

import tqdm
import tyro

from .equivalent import EQUIVALENT
from .handwritten import MISTAKES, mutant_of
from .mutator import Mutant, mutants_of
from .record import RECORD, append, recorded
from .report import Cost, described, markdown, mistakes_markdown, survivors
from .runner import Verdict, verdicts
from .targets import files_of, most_of, targets

RESULTS = Path(__file__).parents[2] / "experiments" / "results"


@dataclasses.dataclass(frozen=True)
class Config:
    """Proof of the tests by mutation."""

    only: str = "*"
    """Functions whose names match, as module:function: '*:Relu.*', 'fnnet.losses:*'."""
    list: bool = False
    """List what would run; run nothing."""
    jobs: int = 2
    """Worker processes."""
    every: bool = False
    """Also run the mutants that a usual run leaves out: it samples the functions of some modules."""
    fresh: bool = False
    """Take no verdict over from earlier runs."""
    record: Path = RECORD
    """Where verdicts are recorded."""
    handwritten: bool = False
    """In place of the small faults, the mistakes in `handwritten`."""
    results: Path | None = None
    """Where the report of a complete run is written; None: `mutants.md` or `mistakes.md` in `experiments/results`."""


def chosen(config: Config) -> tuple[list[Mutant], int]:
    """The mutants of this run, in source order, and how many there are without sampling."""
    mutants, made = [], 0
    for target, node in targets().items():
        if fnmatch.fnmatchcase(target, config.only):
            own = mutants_of(target, node)
            mutants += own if config.every else sample(own, most_of(target))
            made += len(own)
    return mutants, made


def sample(mutants: list[Mutant], most: int) -> list[Mutant]:
    """At most `most` of the mutants, the same ones every time, in order."""
    if len(mutants) <= most:
        return mutants
    picked = random.Random(0).sample(range(len(mutants)), most)
    return [mutants[i] for i in sorted(picked)]


def run(mutants: list[Mutant], config: Config) -> tuple[list[Verdict], list[str]]:
    """The verdict on each, in order, and the tests that fail without any mutant; shows progress."""
    found = {} if config.fresh else {v.mutant: v for v in recorded(mutants, config.record)}
    waiting, failing = [m for m in mutants if m not in found], set()
    if found:
        print(f"{len(found)} verdicts taken over from {config.record}", file=sys.stderr)
    pace = 0.1 if sys.stderr.isatty() else 15
    with tqdm.tqdm(total=len(mutants), initial=len(found), unit="mutant", smoothing=0, mininterval=pace) as progress:
        for verdict in verdicts(waiting, files_of(waiting), config.jobs):
            if isinstance(verdict, str):
                failing.add(verdict)
                progress.write(f"fails without any mutant: {verdict}")
                continue
            found[verdict.mutant] = verdict
            append(verdict, config.record)
            progress.update()
            if survivors([verdict]):
                progress.write(f"survives: {described(verdict)}")
    return [found[mutant] for mutant in mutants], sorted(failing)


def main(config: Config) -> int:
    """The exit code."""
    if config.handwritten:
        return by_hand(config)
    mutants, made = chosen(config)
    if config.list:
        print(*(f"{m.target}  line {m.line}  {m.operator}: {m.change}" for m in mutants), sep="\n")
        return 0
    found, failing = run(mutants, config)
    stale = stale_entries(mutants) if len(mutants) == made else []
    text = markdown(found, Cost(made, sum(v.seconds for v in found)), stale, failing)
    if config.only == "*":
        (config.results or RESULTS / "mutants.md").write_text(text)
    print(text)
    for key in stale:
        print(f"warning: the entry {key} of equivalent.py matches no mutant", file=sys.stderr)
    return 1 if survivors(found) or failing or not found else 0


def by_hand(config: Config) -> int:
    """The exit code of a run over the handwritten mistakes."""
    mistakes = [m for m in MISTAKES if fnmatch.fnmatchcase(m.target, config.only)]
    mutants = [mutant_of(m) for m in mistakes]
    if config.list:
        print(*(f"{m.target}: {m.wrong}" for m in mistakes), sep="\n")
        return 0
    found, failing = run(mutants, config)
    text = mistakes_markdown(found, [m.wrong for m in mistakes], failing, len(MISTAKES))
    if config.only == "*":
        (config.results or RESULTS / "mistakes.md").write_text(text)
    print(text)
    return 1 if survivors(found) or failing or not found else 0


def stale_entries(mutants: list[Mutant]) -> list[tuple]:
    """Entries of `equivalent.py` for functions that ran, which match no mutant."""
    ran, keys = {m.target for m in mutants}, {m.key for m in mutants}
    return [key for key in EQUIVALENT if key[0] in ran and key not in keys]


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))
