"""Every comparison in what is proved has more than one answer: no kink, mask or limit is passed on one side only."""

import inspect
from collections import defaultdict
from pathlib import Path

import pytest

import fnnet

from .scalars import Scalar
from .subjects import SUBJECTS

ONE_SIDED = {
    "Gelu.forward": "a limit of floating point, beyond which the tail is 0",
    "Silu.forward": "a limit of floating point, beyond which the tail is 0",
    "Poisson.forward": "a limit of floating point, beyond which e^z overflows",
    "mean_weights": "weights that are all 0 have no mean",
    "norm": "gradients that are all 0 have no direction",
}
"""Function -> why its comparison is not met on the other side."""
FOLDER = str(Path(fnnet.__file__).parent)


def function_of(frame):
    """(name, line) of the innermost function of fnnet that a call comes from."""
    while frame is not None and not frame.f_code.co_filename.startswith(FOLDER):
        frame = frame.f_back
    return None if frame is None else (frame.f_code.co_qualname, frame.f_lineno)


@pytest.mark.slow
def test_every_comparison_is_met_on_both_sides(monkeypatch):
    signs, compared = defaultdict(set), Scalar._sign_of_difference

    def noting(self, other):
        sign = compared(self, other)
        signs[function_of(inspect.currentframe())].add(sign)
        return sign

    monkeypatch.setattr(Scalar, "_sign_of_difference", noting)
    for subject in SUBJECTS.values():
        if not subject.slow:
            subject.prove(subject.rings[-1]())
    signs.pop(None, None)
    assert len(signs) > 40
    assert {name for (name, _), found in signs.items() if len(found) == 1} == {*ONE_SIDED}
