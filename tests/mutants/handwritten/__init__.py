"""Mistakes that people make, written by hand: what carries the mathematics is held to them, as the mathematics is to
`operators.py`.

python -m tests.mutants --handwritten [--only '*:fit'] [--list]

Each is a piece of a function, what stands there instead, and what a person got wrong. A piece that is not found exactly
once is an error that names it. The tests that must detect a mistake are named as in `targets.py`.
"""

import ast
import functools
import importlib
import inspect
import textwrap
from typing import Any

from ..mutator import Mutant, bare, nodes_of
from . import checkpoints, data, looking, optimizing, sweeps, training
from .mistake import Mistake

MISTAKES: tuple[Mistake, ...] = (
    *training.MISTAKES,
    *optimizing.MISTAKES,
    *sweeps.MISTAKES,
    *checkpoints.MISTAKES,
    *data.MISTAKES,
    *looking.MISTAKES,
)


def mutant_of(mistake: Mistake) -> Mutant:
    """The function with the mistake in it.

    Raises LookupError where the function is not found, or the piece not exactly once.
    """
    source, nodes = _read(mistake.target.split(":")[0])
    node = nodes.get(mistake.target)
    if node is None:
        raise LookupError(f"{mistake.target}: no such function; the mistake is {mistake.wrong!r}")
    text = " " * node.col_offset + (ast.get_source_segment(source, node) or "")
    if text.count(mistake.old) != 1:
        raise LookupError(
            f"{mistake.target}: expected {mistake.old!r} once, found it {text.count(mistake.old)} times; "
            f"the mistake is {mistake.wrong!r}"
        )
    wrong = ast.parse(textwrap.dedent(text.replace(mistake.old, mistake.new))).body[0]
    line = node.lineno + text[: text.index(mistake.old)].count("\n")
    source = ast.unparse(bare(wrong))
    return Mutant(
        mistake.target,
        "mistake",
        line,
        mistake.old,
        mistake.new,
        1,
        source,
        mistake.tests,
        mistake.equivalent,
    )


@functools.cache
def _read(module: str) -> tuple[str, dict[str, Any]]:
    """A module's source, and its functions by name."""
    return inspect.getsource(importlib.import_module(module)), nodes_of(module)
