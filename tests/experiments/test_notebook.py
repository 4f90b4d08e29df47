"""The notebook runs from top to bottom, without Jupyter: its code cells in order, in one namespace."""

import ast
import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import experiments

pytestmark = pytest.mark.usefixtures("optimized")

NOTEBOOK = json.loads((Path(experiments.__file__).parent / "first_steps.ipynb").read_text(encoding="utf-8"))
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def shown(cell, namespace):
    """What Jupyter shows below the cell: the value of its last line, where that is an expression."""
    *statements, last = ast.parse(cell).body
    if not isinstance(last, ast.Expr):
        statements, last = [*statements, last], None
    exec(compile(ast.Module(statements, []), "cell", "exec"), namespace)
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_it_announces(capsys):
    namespace = {}
    figures = [value for cell in CELLS if isinstance(value := shown(cell, namespace), Figure)]
    text = capsys.readouterr().out
    assert namespace["accuracy"] > 0.94
    assert len(figures) == 2
    assert all(figure.axes for figure in figures)
    assert "FORWARD" in text
    assert namespace["report"].checks
    assert not namespace["report"].failed


def test_the_notebook_is_stored_without_outputs():
    assert NOTEBOOK["nbformat"] == 4
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in NOTEBOOK["cells"])
