"""The mutation run is itself tested: what mutants there are, how they are swapped in and out, two known kills."""

import ast
import contextlib
import dataclasses
import dis
import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
import tests.layers.test_activations as activation_tables
from fnnet.sweeps import results
from fnnet.training import sources as stores
from fnnet.training.rows import Rows
from tests import test_model as models
from tests.mutants import mutator, record, targets
from tests.mutants.__main__ import sample
from tests.mutants.equivalent import EQUIVALENT
from tests.mutants.handwritten import MISTAKES, Mistake, mutant_of
from tests.mutants.mutator import Mutant, code_of, mutants_of, swapped
from tests.mutants.report import Cost, markdown, mistakes_markdown, survivors
from tests.mutants.runner import Verdict, parts

ROOT = Path(__file__).parents[2]


def sources(function):
    """{operator: the last line of each mutant of a function given as text}."""
    found = {}
    for mutant in mutants_of("module:name", ast.parse(function).body[0]):
        found.setdefault(mutant.operator, []).append(mutant.source.splitlines()[-1].strip())
    return found


def test_a_small_formula_has_these_mutants():
    found = sources("def f(self, y, dy):\n    return dy * (1 - y * y)")
    assert found["sign"] == ["return -(dy * (1 - y * y))"]
    assert found["factor"] == ["return 1.001 * (dy * (1 - y * y))"]
    assert found["arithmetic"] == ["return dy / (1 - y * y)", "return dy * (1 + y * y)", "return dy * (1 - y / y)"]
    assert found["drop"][:4] == ["return dy", "return 1 - y * y", "return dy * 1", "return dy * (y * y)"]
    assert found["constant"] == ["return dy * (0 - y * y)", "return dy * (2 - y * y)"]
    assert found["name"][0] == "return y * (1 - y * y)"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x.T @ dy", "x @ dy"),
        ("x.T @ dy", "x.T @ dy.T"),
        ("x > 0", "x >= 0"),
        ("x.sum(0)", "x.sum()"),
        ("x.sum(-1, keepdims=True)", "x.sum(-1, keepdims=False)"),
        ("x.sum(0)", "x.mean(0)"),
        ("(x, dy)", "(dy, x)"),
        ("x[::-1]", "x"),
        ("x[::-1]", "x[-2::-1] + x[-1:]"),
        ("1 / x", "1"),
        ("jnp.where(x > 0, dy, x)", "jnp.where(x > 0, x, dy)"),
        ("jnp.maximum(x, 0)", "jnp.minimum(x, 0)"),
        ("jnp.maximum(x, 0)", "x"),
        ("f(x) if x else dy", "dy"),
        ("lambda a: a + x", "lambda a: a - x"),
    ],
)
def test_common_faults_are_among_the_mutants(before, after):
    lines = [line for found in sources(f"def f(x, dy):\n    return {before}").values() for line in found]
    assert f"return {after}" in lines
    assert len(lines) == len(set(lines))


def test_messages_argument_checks_and_annotations_are_left_alone():
    found = sources(
        "def f(x: 1 + 1 = 2 * 2) -> 3:\n    '''1 + 1'''\n    if x > 1:\n        raise ValueError(f'{x + 1}')"
    )
    assert found == {}


def test_mutants_are_the_same_every_time_and_have_distinct_names():
    name, node = next((n, k) for n, k in targets.targets().items() if n.endswith("Dense.backward"))
    mutants = mutants_of(name, node)
    again = mutants_of(name, targets.targets()[name])
    assert mutants == again
    assert len({m.key for m in mutants}) == len(mutants) > 50
    assert sample(mutants, 7) == sample(again, 7)
    assert len(sample(mutants, 7)) == 7
    assert sample(mutants, len(mutants)) == mutants


def test_a_mutant_is_swapped_in_everywhere_and_out_without_a_trace():
    held = inspect.unwrap(fnnet.Tanh.backward)
    before, code = held.__code__, held.__code__.co_code
    source = "def backward(self, params, y, dy):\n    return (), dy"
    with swapped("fnnet.layers.activations:Tanh.backward", source):
        assert float(fnnet.Tanh().backward((), jnp.ones(()), jnp.ones(()))[1]) == 1
        assert held.__code__ is not before
    assert float(fnnet.Tanh().backward((), jnp.ones(()), jnp.ones(()))[1]) == 0
    assert held.__code__ is before
    assert held.__code__.co_code == code


def test_it_is_swapped_out_after_an_error_and_constants_are_swapped_too():
    with contextlib.suppress(ZeroDivisionError), swapped("fnnet.layers.activations:Selu.SCALE", "SCALE = 2.0"):
        assert fnnet.Selu.SCALE == 2
        raise ZeroDivisionError
    assert fnnet.Selu.SCALE == 1.0507009873554804934193349852946


@pytest.mark.parametrize("target", ["fnnet.losses:SoftmaxCrossEntropy.backward", "fnnet.layers.dense:Dense.backward"])
def test_the_copy_without_a_fault_is_the_original(target):
    """What is compiled from the tree has the instructions of what Python compiled."""
    holder, name = mutator.holder_of(target)
    copy = code_of(ast.unparse(mutator.bare(targets.targets()[target])))
    original = inspect.unwrap(getattr(holder, name)).__code__
    assert [i.opname for i in dis.get_instructions(copy)] == [i.opname for i in dis.get_instructions(original)]
    assert (copy.co_varnames, copy.co_names) == (original.co_varnames, original.co_names)


def test_every_target_has_tests():
    for target in targets.targets():
        for test in targets.tests_of(target):
            assert (ROOT / "tests" / f"{test.split()[0]}.py").is_file()
    with pytest.raises(LookupError, match="no tests are named"):
        targets.tests_of("fnnet.plots.theme:figure")


def test_the_words_of_a_test_match_whole_words():
    assert targets.is_meant("test_a Elu", "tests/test_a.py::test[float32-Elu(0.5)]")
    assert not targets.is_meant("test_a Elu", "tests/test_a.py::test[LeakyElu]")
    assert not targets.is_meant("test_b Elu", "tests/test_a.py::test[Elu]")
    assert targets.is_meant("test_a Tanh|mask", "tests/test_a.py::test_one_mask_both_ways")


def test_every_equivalent_mutant_is_one_and_has_a_reason():
    nodes = targets.targets()
    keys = {m.key for target in {key[0] for key in EQUIVALENT} for m in mutants_of(target, nodes[target])}
    assert set(EQUIVALENT) <= keys
    assert all(len(reason.split()) > 3 for reason in EQUIVALENT.values())


def test_the_report_counts_and_names():
    one = Mutant("fnnet.losses:Huber.forward", "sign", 3, "r", "-r", 1, "")
    other = Mutant("fnnet.losses:Huber.forward", "sign", 4, "r", "-r", 2, "")
    found = [Verdict(one, "test_x", False, 0.1), Verdict(other, None, False, 0.1)]
    text = markdown(found, Cost(2, 60.0), [], ["test_y"])
    assert survivors(found) == [found[1]]
    assert "**1 of 2 mutants are killed: 50.00%.**" in text
    assert "- `losses:Huber.forward` line 4, sign: `r -> -r #2`" in text
    assert "- `test_y`" in text
    assert "| losses.Huber.forward | 2 | 1 | 1 | 0 | 1 |" in text


def test_verdicts_are_taken_over_while_what_they_rest_on_is_the_same(tmp_path, monkeypatch):
    path, name = tmp_path / "runs" / "record.jsonl", "fnnet.layers.activations:Tanh.backward"
    killed, survived, hung, other = mutants_of(name, targets.targets()[name])[:4]
    killer = "tests/layers/test_activations.py::test_values_and_derivatives_are_those_of_the_table[Tanh-float32]"
    given = [Verdict(killed, killer, False, 0.5), Verdict(survived, None, False, 2.0)]
    assert not [*record.recorded([killed], path)]
    for verdict in [Verdict(killed, killer, True, 0.1), *given, Verdict(hung, "timeout", False, 9.0)]:
        record.append(verdict, path)
    assert {*record.recorded([killed, survived, hung, other], path)} == {*given}
    changed = dataclasses.replace(killed, source=f"{killed.source} + 0")
    assert not [*record.recorded([changed], path)]
    shutil.copytree(ROOT / "tests/layers", tmp_path / "tests/layers")
    copy = tmp_path / "tests/layers/test_activations.py"
    copy.write_text(copy.read_text() + "\n\ndef test_one_more():\n    pass\n")
    monkeypatch.setattr(record, "TESTS", tmp_path / "tests")
    record.source_of_test.cache_clear()
    assert [*record.recorded([killed, survived], path)] == given[:1]
    monkeypatch.setattr(record, "EQUIVALENT", {m.key: "computes the same" for m in (killed, survived, other)})
    assert {*record.recorded([killed, survived, other], path)} == {*given}
    monkeypatch.setattr(record, "EQUIVALENT", {})
    copy.write_text(copy.read_text().replace("def test_values_and_derivatives_are_those_of_the_table", "def test_less"))
    record.source_of_test.cache_clear()
    assert not [*record.recorded([killed, survived], path)]
    record.source_of_test.cache_clear()


def test_functions_with_the_same_tests_go_to_one_worker():
    mutants = [Mutant(f"fnnet.penalties:L{i}.value", "sign", 1, "a", "b", 1, "") for i in (1, 2, 1)]
    assert parts(mutants) == [mutants]


def test_every_handwritten_mistake_can_be_made_and_has_tests():
    """Each piece is there exactly once, what stands there instead is Python, and no two are the same."""
    mutants = [mutant_of(mistake) for mistake in MISTAKES]
    assert len({m.key for m in mutants}) == len(mutants) >= 150
    for mutant in mutants:
        with swapped(mutant.target, mutant.source):
            pass
    for file in targets.files_of(mutants):
        assert (ROOT / "tests" / f"{file}.py").is_file()
    assert all(mutant.tests for mutant in mutants)


def test_a_mistake_whose_piece_is_gone_is_named():
    gone = Mistake("fnnet.losses:Huber.forward", "no such text", "", "it rots", ("test_losses",))
    with pytest.raises(LookupError, match=r"fnnet.losses:Huber.forward: expected 'no such text' once.*it rots"):
        mutant_of(gone)
    with pytest.raises(LookupError, match="no such function; the mistake is 'it rots'"):
        mutant_of(dataclasses.replace(gone, target="fnnet.losses:Huber.value"))


def test_methods_that_call_super_properties_and_texts_can_be_swapped():
    found = stores._padded(np.zeros((1, 3), int), None, 2)[1]
    with swapped("fnnet.training.sources:OnMesh._plan", "def _plan(self, *a):\n    return super()._plan(*a), 7"):
        plan = inspect.unwrap(stores.OnMesh._plan)
        assert plan.__code__.co_freevars == ("__class__",)
    with swapped("fnnet.training.rows:Rows._stand_in", "def _stand_in(self):\n    return 5"):
        assert Rows(fnnet.Batch(np.zeros(3), np.zeros(3)))._stand_in == 5
    with swapped("fnnet.sweeps.results:METRICS", "METRICS = ('loss',)"):
        assert results.METRICS == ("loss",)
    assert len(results.METRICS) == 4
    assert found.tolist() == [[True, True, True, False]]


def test_the_report_on_mistakes_names_them():
    one = Mutant("fnnet.losses:Huber.forward", "mistake", 3, "r", "-r", 1, "", ("test_losses",))
    two = dataclasses.replace(one, line=4)
    three = dataclasses.replace(one, line=5, equivalent="a reason")
    found = [
        Verdict(one, "tests/test_losses.py::test_x[1]", False, 0.1),
        *(Verdict(m, None, False, 0.1) for m in (two, three)),
    ]
    text = mistakes_markdown(found, ["wrong sign", "lost", "same"], [], 4)
    assert "**1 of 2 handwritten mistakes are detected.** 1 more compute" in text
    assert "(named below). 3 of 4 ran." in text
    assert "- lost: `losses:Huber.forward` line 4, mistake: `r -> -r`" in text
    assert "| `losses.Huber.forward` | wrong sign | `test_losses.py::test_x` |" in text
    assert "- `losses.Huber.forward`: same: a reason" in text


def is_killed(target, before, after, test, *arguments):
    """The test passes, and fails with the mutant of the target that makes this change."""
    mutant = next(m for m in mutants_of(target, targets.targets()[target]) if (m.before, m.after) == (before, after))
    test(*arguments)
    activation_tables.value_and_derivative.clear_cache()
    with swapped(target, mutant.source), pytest.raises(AssertionError):
        test(*arguments)
    activation_tables.value_and_derivative.clear_cache()


@pytest.mark.parametrize(("before", "after"), [("y > 0", "y >= 0"), ("jnp.where(y > 0, dy, y)", "dy")])
def test_a_mutant_of_the_backward_of_relu_is_killed(before, after):
    test = activation_tables.test_values_and_derivatives_are_those_of_the_table
    is_killed("fnnet.layers.activations:Relu.backward", before, after, test, "Relu", "float32")


DX = "product(dy, params.w, self.products, transposed='b')"


@pytest.mark.parametrize(
    ("before", "after"),
    [("drows.sum(0)", "drows.mean(0)"), (DX, f"1.001 * {DX}")],
)
def test_a_mutant_of_the_backward_of_dense_is_killed(before, after):
    is_killed("fnnet.layers.dense:Dense.backward", before, after, models.test_one_pass_is_the_textbook)


def run(*arguments):
    """The command, in a process of its own, without this one's settings of pytest."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    command = [sys.executable, "-m", "tests.mutants", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_command_reports_what_it_found_and_continues_where_it_stopped(tmp_path):
    name, path = "fnnet.schedules:ConstantSchedule.value_at", tmp_path / "record.jsonl"
    mutants = mutants_of(name, targets.targets()[name])
    killer = "tests/test_schedules.py::test_schedules_have_these_values[ConstantSchedule]"
    record.append(Verdict(mutants[0], killer, False, 1.0), path)
    done = run("--only", "*:ConstantSchedule.value_at", "--jobs", "1", "--record", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 verdicts taken over" in done.stderr
    assert "mutants are killed: 100.00%" in done.stdout
    assert "`schedules:ConstantSchedule.value_at` line" in done.stdout
    assert len(path.read_text().splitlines()) == len(mutants)


@pytest.mark.slow
def test_every_mutant_is_killed(tmp_path):
    done = run("--results", str(tmp_path / "tests.mutants.md"), "--fresh", "--record", str(tmp_path / "record.jsonl"))
    assert done.returncode == 0, done.stdout + done.stderr
