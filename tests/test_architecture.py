"""What the sources promise: no automatic differentiation, imports in one direction, no trainer library."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "fnnet"
SOURCES = sorted(PACKAGE.rglob("*.py"))
DIFFERENTIATES = {
    "grad", "value_and_grad", "vjp", "jvp", "linearize", "linear_transpose", "jacfwd", "jacrev", "hessian",
    "custom_vjp", "custom_jvp", "custom_gradient", "checkpoint", "remat",
}  # fmt: skip
LEVELS = [
    {"spec", "batch", "compiling", "progress"},
    {"differences", "randomness"},
    {"initializers", "schedules", "penalties", "datasets"},
    {"layers"},
    {"losses", "optimizers", "metrics"},
    {"model"},
    {"training"},
    {"explaining", "streaming", "stopping"},
    {"tracing"},
    {"replay", "sources"},
    {"fitting"},
    {"gradients", "checkpoints", "plots", "augmentation", "landscapes", "statistics", "tensorboard"},
    {"sweeps"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}


def module_of(path):
    """`layers` for fnnet/layers/dense.py, `model` for fnnet/model.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree):
    """Full names of everything a module imports, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the direction"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def differentiations(tree):
    """Names of automatic differentiation reached as `jax.grad`, `from jax import grad` or `anything.vjp`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in DIFFERENTIATES:
            yield node.attr
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "jax":
            yield from (alias.name for alias in node.names if alias.name in DIFFERENTIATES)


def wrong_way(module, names):
    """Imports inside the package that do not go down to a lower level."""
    for name in names:
        parts = name.split(".")
        if parts[0] != "fnnet" or parts[1] == module:
            continue
        lower = parts[1] == "batch" if module == "datasets" else LEVEL.get(parts[1], 99) < LEVEL[module]
        if not lower:
            yield name


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_gradient_checker_differentiates_automatically(path):
    found = list(differentiations(ast.parse(path.read_text())))
    assert not found or path.name == "gradients.py", f"{path.name} uses {found}: gradients are derived by hand"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    names = list(imported(ast.parse(path.read_text())))
    assert not [n for n in names if n.split(".")[0] in ("optax", "flax", "equinox", "haiku", "torch", "experiments")]
    if path != PACKAGE / "__init__.py":
        assert not list(wrong_way(module_of(path), names))


@pytest.mark.parametrize(
    "source", ["jax.grad(f)", "from jax import value_and_grad as v", "import jax as j\nj.vjp(f, x)"]
)
def test_the_test_sees_automatic_differentiation(source):
    assert list(differentiations(ast.parse(source)))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("layers", "fnnet.model.Model"),
        ("spec", "fnnet.layers"),
        ("datasets", "fnnet.model.mlp"),
        ("model", "fnnet.new"),
    ],
)
def test_the_test_sees_an_arrow_turned_round(module, name):
    assert list(wrong_way(module, [name]))
