"""`python -m tests.symbolic`: prove everything, refute every fault, and write experiments/results/proofs.md."""

import platform
import time
from collections import Counter
from pathlib import Path

import jax
import mpmath
import sympy

from . import __doc__ as about
from .faults import EQUIVALENT, faults_of, is_equivalent, targets, verdict
from .subjects import GROUPS, NOT_PROVED, Subject

TABLE = Path(__file__).parents[2] / "experiments" / "results" / "proofs.md"
ORDER = ("exact", "simplified", "50 digits")


def proof_rows(subjects: list[Subject]) -> list[str]:
    """One row per subject and ring. Raises where a proof fails."""
    rows = []
    for subject in subjects:
        for ring in subject.rings:
            start = time.process_time()
            way = subject.prove(ring())
            seconds, run = time.process_time() - start, "slow" if subject.slow else "default"
            rows.append(f"| `{subject.name}` | {way} | {ring.__name__.lower()} | {run} | {seconds:.2f} |")
            print(rows[-1], flush=True)
    return rows


def fault_rows() -> list[str]:
    """One row per function. Raises for a fault that nothing notices."""
    rows = []
    for target, subjects in sorted(targets().items()):
        start, found = time.process_time(), Counter()
        for fault in faults_of(target):
            outcome = verdict(fault, subjects)
            if (outcome == "unnoticed") != is_equivalent(fault):
                raise AssertionError(f"{target} line {fault.line}: {fault.change} is {outcome}")
            found[fault.operator, outcome] += 1
        counts = " | ".join(str(found[operator, "refuted"]) for operator in ("sign", "drop", "factor"))
        others = [sum(n for (_, outcome), n in found.items() if outcome == o) for o in ("crashed", "unnoticed")]
        seconds = time.process_time() - start
        rows.append(f"| `{target}` | {counts} | {others[0]} | {others[1]} | {seconds:.1f} |")
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    start = time.process_time()
    sections = {group: proof_rows(subjects) for group, subjects in GROUPS.items()}
    proofs = time.process_time() - start
    faults = fault_rows()
    ways = Counter(row.split("|")[2].strip() for rows in sections.values() for row in rows)
    counted = ", ".join(f"{ways[way]} {way}" for way in ORDER).replace("50 digits", "to 50 digits")
    lines = [
        "# Proofs",
        "",
        *(about or "").strip().splitlines(),
        "",
        f"`python -m tests.symbolic`: {sum(ways.values())} proofs ({counted}) in {proofs:.0f} s, faults in "
        f"{time.process_time() - start - proofs:.0f} s of processor time on {platform.machine()}, Python "
        f"{platform.python_version()}, SymPy {sympy.__version__}, mpmath {mpmath.__version__}, jax {jax.__version__}. "
        "The test of a row is `tests/symbolic/test_proofs.py::test_is_proved[<name>, <numbers>]`.",
        "",
        "Public specs without a proof: "
        + ("; ".join(f"`{name}`: {why}" for name, why in NOT_PROVED.items()) or "none."),
    ]
    for group, rows in sections.items():
        lines += ["", f"## {group}", "", "| | proved | numbers | run | seconds |", "|---|---|---|---|--:|", *rows]
    lines += [
        "", "## Faults", "",
        "Of every backward, update and schedule, and of what they share: each sign wrong, each term and factor "
        "dropped, and each result times 1 + 1e-14, one at a time, in the source that the proofs then run. Test: "
        "`tests/symbolic/test_faults.py::test_faults_are_refuted[<function>]`.",
        "", "| | signs refuted | terms and factors | 1 + 1e-14 | ended in an error | not faults | seconds |",
        "|---|--:|--:|--:|--:|--:|--:|", *faults,
        "", "Changes that are not faults:", "",
        *(f"- `{target}`: `{change}`: {why}" for target, of in EQUIVALENT.items() for change, why in of.items()),
    ]  # fmt: skip
    TABLE.write_text("\n".join(lines) + "\n")
    print(f"wrote {TABLE}")


if __name__ == "__main__":
    main()
