"""Verdicts on disk, one line each, so that a run that was interrupted continues where it stopped.

A kill counts for as long as the mutant and the test that killed it have the source that they had. A survivor counts
while its tests are the same ones and their files have, or for good if `equivalent.py` names it: no test can kill it.
What timed out, or is not found, runs again.
"""

import ast
import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from .equivalent import EQUIVALENT
from .mutator import Mutant
from .runner import TESTS, Verdict
from .targets import files_of, tests_for

RECORD = TESTS.parent / "runs" / "mutants.jsonl"


def recorded(mutants: list[Mutant], path: Path) -> Iterator[Verdict]:
    """Verdicts of earlier runs on these mutants that still count, each mutant at most once."""
    waiting = {digest_of(mutant): mutant for mutant in mutants}
    for line in reversed(path.read_text().splitlines() if path.exists() else []):
        entry = json.loads(line)
        mutant = waiting.get(entry["mutant"])
        if mutant is not None and still_counts(mutant, entry):
            yield Verdict(waiting.pop(entry["mutant"]), entry["killer"], entry["crashed"], entry["seconds"])


def still_counts(mutant: Mutant, entry: dict) -> bool:
    """Whether what the verdict rests on is the same, or the mutant has survived and is known to compute the same."""
    is_equivalent = entry["killer"] is None and mutant.key in EQUIVALENT
    return is_equivalent or entry["tests"] == tests_behind(mutant, entry["killer"])


def append(verdict: Verdict, path: Path) -> None:
    """Add one verdict to the record, unless it timed out."""
    if verdict.killer == "timeout":
        return
    entry = {
        "mutant": digest_of(verdict.mutant),
        "name": " ".join(verdict.mutant.key),
        "killer": verdict.killer,
        "crashed": verdict.crashed,
        "seconds": round(verdict.seconds, 3),
        "tests": tests_behind(verdict.mutant, verdict.killer),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")


def tests_behind(mutant: Mutant, killer: str | None) -> str:
    """Digest of what a verdict rests on: the function that killed the mutant, or all files of its tests."""
    if killer is not None:
        return source_of_test(killer.split("[")[0])
    return digest(*tests_for(mutant), *((TESTS / f"{file}.py").read_text() for file in files_of([mutant])))


@functools.cache
def source_of_test(name: str) -> str:
    """Digest of a test's own source, given `file::function`; empty if it is gone."""
    file, function = name.split("::")
    path = TESTS.parent / file
    nodes = ast.parse(path.read_text()).body if path.exists() else []
    return "".join(digest(ast.dump(n)) for n in nodes if isinstance(n, ast.FunctionDef) and n.name == function)


def digest_of(mutant: Mutant) -> str:
    """What identifies a mutant: its function, with the fault in it."""
    return digest(mutant.target, mutant.operator, mutant.change, mutant.source)


def digest(*texts: str) -> str:
    """SHA-256, shortened to 16 hexadecimal digits."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
