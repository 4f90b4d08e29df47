"""What the sources promise: no automatic differentiation, imports in one direction, no trainer library."""

import ast
import graphlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "fnnet"
SOURCES = sorted(PACKAGE.rglob("*.py"))
DIFFERENTIATES = {
    "grad", "value_and_grad", "vjp", "jvp", "linearize", "linear_transpose", "jacfwd", "jacrev", "hessian",
    "custom_vjp", "custom_jvp", "custom_gradient", "checkpoint", "remat",
}  # fmt: skip
LEVELS = [
    {"protocols", "_jit", "_contracts", "_values", "_windows", "_xla"},
    {"_spec"},
    {"initializers", "schedules", "penalties", "metrics", "layers", "losses", "optimizers", "datasets"},
    {"model"},
    {"architectures", "generation"},
    {"training.state", "training.steps", "training.checks", "training.epochs"},
    {"inspection"},
    {"training"},
    {"checkpoints", "page", "plots", "tensorboard"},
    {"sweeps"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}


def module_of(path):
    """`layers.dense` for fnnet/layers/dense.py, `model` for fnnet/model.py, `layers` for fnnet/layers/__init__.py."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def level_of(module):
    """Of a module, or of the room that it stands in; 99 for one that nobody has given a place."""
    parts = module.split(".")
    known = (LEVEL.get(".".join(parts[:n])) for n in range(len(parts), 0, -1))
    return next((level for level in known if level is not None), 99)


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
    """Imports inside the package that go up a level, or that are not for those who know nothing of models."""
    for name in names:
        first, _, other = name.partition(".")
        if first != "fnnet" or other.split(".")[0] == module.split(".")[0]:
            continue
        if level_of(other) > level_of(module) or (
            module.startswith("datasets") and not other.startswith(("protocols", "_spec"))
        ):
            yield name


def graph():
    """Module -> the modules of the package that it imports, those of a name that is itself a module included."""
    modules = {module_of(path) for path in SOURCES}
    found = {}
    for path in SOURCES:
        names = [n.removeprefix("fnnet.") for n in imported(ast.parse(path.read_text())) if n.startswith("fnnet.")]
        homes = {n if n in modules else n.rpartition(".")[0] for n in names}
        found[module_of(path)] = {home for home in homes if home in modules}
    return found


def test_no_module_imports_itself_by_a_detour():
    graphlib.TopologicalSorter({m: i for m, i in graph().items() if m != "__init__"}).prepare()


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_gradient_checker_differentiates_automatically(path):
    found = list(differentiations(ast.parse(path.read_text())))
    assert not found or path.name == "gradient_checker.py", f"{path.name} uses {found}: gradients are derived by hand"


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
        ("_spec", "fnnet.layers"),
        ("training.epochs", "fnnet.inspection._trace"),
        ("datasets", "fnnet.architectures.mlp"),
        ("model", "fnnet.new"),
        ("losses", "fnnet.training.state.Metrics"),
    ],
)
def test_the_test_sees_an_arrow_turned_round(module, name):
    assert list(wrong_way(module, [name]))
