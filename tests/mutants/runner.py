"""Worker processes: each collects the tests once, then runs those of one mutant after another.

Every mutant is a few lines of code in a process that has JAX loaded and everything else compiled: `jax.clear_caches`
drops what was traced with the previous mutant, and a compilation cache in the worker's own folder, keyed by the
program, supplies those that the mutant did not change.
"""

import contextlib
import functools
import multiprocessing
import multiprocessing.connection
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .mutator import Mutant, swapped
from .targets import is_meant, tests_for

TESTS = Path(__file__).parents[1]
PART = 100
LIMIT = 300  # seconds that a mutant may take before it has timed out
PYTEST = [
    "-p",
    "no:xdist",
    "-p",
    "no:cacheprovider",
    "-o",
    "addopts=",
    "-m",
    "not slow and not browser",
    "--tb=no",
    "-q",
]


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    killer   the test that failed, None for a survivor, "timeout" if it hung
    crashed  the test failed with an error, not because a number was wrong
    """

    mutant: Mutant
    killer: str | None
    crashed: bool
    seconds: float


def verdicts(mutants: list[Mutant], files: list[str], jobs: int) -> Iterator[Verdict | str]:
    """Verdicts as they come, from `jobs` worker processes, each of which takes the mutants of a function together.

    Between them come the ids of tests that fail without any mutant, and so cannot detect one.
    """
    waiting = [*reversed(parts(mutants))]
    workers = [Worker(files) for _ in range(min(jobs, len(waiting)))]
    try:
        while busy := [w for w in workers if w.todo or (waiting and w.give(waiting.pop()))]:
            ready = multiprocessing.connection.wait([w.pipe for w in busy], timeout=1)
            for worker in busy:
                verdict = worker.take() if worker.pipe in ready else worker.restart() if worker.is_hanging() else None
                if verdict is not None:
                    yield verdict
    finally:
        for worker in workers:
            worker.stop()


def parts(mutants: list[Mutant]) -> list[list[Mutant]]:
    """Mutants with the same tests, at most PART at a time, in the order of the functions."""
    groups: dict[tuple, list[Mutant]] = {}
    for mutant in mutants:
        groups.setdefault(tests_for(mutant), []).append(mutant)
    return [group[i : i + PART] for group in groups.values() for i in range(0, len(group), PART)]


class Worker:
    """A worker process as its parent sees it: what it still has to do, and when it last answered."""

    def __init__(self, files: list[str]) -> None:
        self.files, self.todo = files, []
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, self.files), daemon=True)
        self.process.start()
        theirs.close()
        self.since, self.has_answered = time.monotonic(), False

    def give(self, mutants: list[Mutant]) -> bool:
        self.todo, self.since = [*mutants], time.monotonic()
        self.pipe.send(self.todo)
        return True

    def take(self) -> Verdict | str | None:
        """The verdict on the mutant at hand; None for a heartbeat; the id of a test that fails without any mutant.

        A process that ends has hung, as far as its mutant goes. Raises RuntimeError if it ends before any answer.
        """
        try:
            answer = self.pipe.recv()
        except EOFError:
            if self.has_answered:
                return self.restart()
            raise RuntimeError(f"a worker ended at {self.todo[0].key}; see what pytest says of its tests") from None
        self.since, self.has_answered = time.monotonic(), True
        if answer is None or isinstance(answer, str):
            return answer
        killer, crashed, seconds = answer
        return Verdict(self.todo.pop(0), killer, crashed, seconds)

    def is_hanging(self) -> bool:
        """Whether a mutant takes longer than LIMIT."""
        return time.monotonic() - self.since > LIMIT

    def restart(self) -> Verdict:
        """End the process, which hangs or has ended, and start one that continues with the next mutant."""
        self.stop()
        verdict = Verdict(self.todo.pop(0), "timeout", False, LIMIT)
        self.start()
        if self.todo:
            self.give(self.todo)
        return verdict

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def work(pipe: Any, files: list[str]) -> None:
    """What a worker process does: pytest, with a loop of its own in place of pytest's."""
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nothing:
        os.environ |= {
            "JAX_COMPILATION_CACHE_DIR": folder,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        with contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
            pytest.main([*PYTEST, *(str(TESTS / f"{file}.py") for file in files)], plugins=[Loop(pipe)])


class Loop:
    """A pytest plugin that runs the collected tests again and again, until no more mutants come."""

    def __init__(self, pipe: Any) -> None:
        self.pipe, self.failed, self.crashed = pipe, False, False
        self.trusted: set[pytest.Item] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed

    def pytest_exception_interact(self, call: pytest.CallInfo) -> None:
        self.crashed = not call.excinfo.errisinstance(AssertionError)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Receive mutants, send killers."""
        with contextlib.suppress(EOFError):
            while True:
                mutants = self.pipe.recv()
                tests = meant_for(mutants[0], session.items)
                self.drop_failing(tests)
                for mutant in mutants:
                    start = time.monotonic()
                    killer = self.killer(mutant, tests)
                    self.pipe.send((killer, killer is not None and self.crashed, time.monotonic() - start))
        return True

    def drop_failing(self, tests: list[pytest.Item]) -> None:
        """Drop tests that fail without a mutant: they cannot detect one. Sends a heartbeat after each."""
        forget(tests)
        for test in [test for test in tests if test not in self.trusted]:
            failed = self.fails(test)
            tests.remove(test) if failed else self.trusted.add(test)
            self.pipe.send(test.nodeid if failed else None)

    def killer(self, mutant: Mutant, tests: list[pytest.Item]) -> str | None:
        """The id of the first test that fails. It moves to the front: what detects one fault detects the next."""
        forget(tests)
        with swapped(mutant.target, mutant.source):
            for i, test in enumerate(tests):
                if self.fails(test):
                    tests.insert(0, tests.pop(i))
                    return test.nodeid
        return None

    def fails(self, test: pytest.Item) -> bool:
        """Run one test, its fixtures included."""
        self.failed = False
        test.config.hook.pytest_runtest_protocol(item=test, nextitem=None)
        return self.failed


def meant_for(mutant: Mutant, items: list[pytest.Item]) -> list[pytest.Item]:
    """The tests of a mutant, in the order of the table, each once."""
    found = (item for test in tests_for(mutant) for item in items if is_meant(test, item.nodeid))
    return [*dict.fromkeys(found)]


def forget(tests: list[pytest.Item]) -> None:
    """Drop everything that was computed with the previous mutant."""
    import jax  # not before pytest has set the folder of compiled programs

    jax.clear_caches()
    for module in {test.module for test in tests}:
        for value in vars(module).values():
            if isinstance(value, functools._lru_cache_wrapper):
                value.cache_clear()
