"""What a comparison of gradients says nothing about, and inputs that may say more.

A gradient that is 0, or the same in every entry, is what many wrong formulas give, too; and a gradient compared on
one side of a kink says nothing about the other side. The checker looks for such places, tries wider inputs where it
has drawn them itself, and reports what is left.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from fnnet.inspection.branches import Branch
from fnnet.inspection.report import Vacuity
from fnnet.inspection.subjects import Drawn, is_float

WIDER = 8  # further draws, at most
_FNNET = Path(__file__).parents[1]


def seen(
    reference: Iterable[tuple[str, Array]], noise: Mapping[str, float], branches: Iterable[tuple[Branch, Any]]
) -> dict[str, str]:
    """{what shows nothing: what was seen} of one draw: tensors by the name they are given, branches by their own."""
    found = {}
    for name, tensor in reference:
        if tensor.size > 1 and (text := _flat(np.asarray(tensor, np.float64), noise[name])):
            found[name] = text
    for branch, (first, second) in branches:
        if not (first and second):
            side = "only the first side" if first else "only the second side" if second else "neither side"
            found[branch.name] = f"the inputs took {side}, at {Path(branch.file).name}:{branch.line}"
    return found


def counts(branch: Branch, subject: Any) -> bool:
    """Whether a branch belongs to what is checked: those of fnnet's other layers are checked where they are."""
    module = sys.modules.get(type(subject).__module__)
    return not Path(branch.file).is_relative_to(_FNNET) or branch.file == getattr(module, "__file__", None)


def _flat(tensor: np.ndarray, noise: float) -> str:
    if np.linalg.norm(tensor) <= noise:
        return "its gradient is 0 in every entry"
    return "its gradient is the same in every entry" if np.linalg.norm(tensor - tensor.mean()) <= noise else ""


def wider(drawn: Drawn, number: int) -> tuple[Any, Any]:
    """(params, x) of a further draw: parameters with signs changed at random, inputs drawn anew.

    Every input is then multiplied by 1, 10, 100, ... at random: at the first draw by 1 only, at the next two by 10 at
    most, and so on, since gradients at large inputs are less exact. What a person gave stays as it is.
    """
    sign_key, x_key, scale_key = jax.random.split(jax.random.fold_in(drawn.key, number), 3)
    params, x = drawn.params, drawn.x
    if "params" in drawn.free:
        leaves, tree = jax.tree.flatten(params)
        keys = jax.random.split(sign_key, max(1, len(leaves)))
        params = tree.unflatten(_signs(leaf, key) for leaf, key in zip(leaves, keys, strict=False))
    if "x" in drawn.free:
        powers = jax.random.randint(scale_key, x.shape, 0, (number + 1) // 2 + 1).astype(x.dtype)
        x = 10.0**powers * jax.random.normal(x_key, x.shape, x.dtype)
    return params, x


def _signs(a: Any, key: PRNGKeyArray) -> Any:
    return a * jax.random.rademacher(key, a.shape, a.dtype) if is_float(a) else a


def explained(
    found: Mapping[str, Mapping[str, str]], tensors: set[str], zero: Mapping[str, str], one_sided: Mapping[str, str]
) -> tuple[Vacuity, ...]:
    """Every vacuity with the reason given for it; `found` is {mode: {what: note}}.

    A reason for what was not found counts as unexpected, too: it explains nothing.
    """
    reasons = {**zero, **one_sided}
    vacuous = []
    for mode, notes in found.items():
        for what, note in notes.items():
            parameter = "expected_zero" if what in tensors else "expected_one_sided"
            advice = f"{note}; pass x= or params= that show more, or {parameter}={{{what!r}: 'the reason'}}"
            vacuous.append(Vacuity(what, mode, note if what in reasons else advice, reasons.get(what)))
    for what in reasons.keys() - {what for notes in found.values() for what in notes}:
        names = ", ".join(sorted(tensors)) if what in zero else "branches as they are named where one side is taken"
        parameter, is_not = ("expected_zero", "0") if what in zero else ("expected_one_sided", "one-sided")
        problem = "there is no such tensor" if what in zero and what not in tensors else f"it is not {is_not}"
        vacuous.append(Vacuity(what, "every mode", f"{parameter} names it, yet {problem} (known: {names})"))
    return tuple(vacuous)
