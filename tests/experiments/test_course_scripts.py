"""The scripts that measure for the course: rates are chosen on validation rows; what is kept is what was measured."""

import numpy as np
import pytest

import fnnet
from experiments import bugs, kaggle_digits, overfitting, results_file, schedules, width_depth
from experiments.results_file import Result, record
from tests.experiments.test_five_optimizers import stripes

pytestmark = pytest.mark.usefixtures("optimized")


@pytest.fixture
def small(monkeypatch):
    """Stripes where the scripts would read MNIST or Fashion-MNIST."""
    pair = stripes(600, 0), stripes(60, 1)
    monkeypatch.setattr(fnnet.datasets, "mnist", lambda: pair)
    monkeypatch.setattr(fnnet.datasets, "fashion_mnist", lambda: pair)


def folders(tmp_path):
    return {"runs": tmp_path / "runs", "copy_to": tmp_path / "kept", "progress": False}


def kept(tmp_path, name):
    found = results_file.read(tmp_path / "kept" / f"{name}.json")
    for figure in found["figures"]:
        assert (tmp_path / "kept" / figure).read_bytes().startswith(b"\x89PNG")
    return found


def test_the_four_schedules_start_at_the_rate_and_end_as_the_lesson_says():
    found = schedules.schedules(0.4, 300)
    ends = {name: (float(s.value_at(0)), float(s.value_at(299))) for name, s in found.items()}
    np.testing.assert_allclose([start for start, _ in ends.values()], 0.4)
    assert ends["constant"][1] == pytest.approx(0.4)
    assert ends["stepped"][1] == pytest.approx(0.4 / 9)
    assert ends["inverse-time"][1] == pytest.approx(0.04, rel=0.02)
    assert ends["cosine"][1] < 1e-4


@pytest.mark.slow
def test_every_schedule_is_tested_at_its_own_best_rate(small, tmp_path):
    config = schedules.Config(epochs=3, seeds=2, rates=(1e-4, 0.1), batch_size=50, **folders(tmp_path))
    found = schedules.main(config)
    assert {one.rate for one in found.values()} == {0.1}
    results = kept(tmp_path, "schedules_mnist")["results"]
    assert [len(r.values) for r in results.values()] == [2, 2, 2, 2]
    assert results["test accuracy, cosine, from 0.1"].values == found["cosine"].test.values


@pytest.mark.slow
def test_the_map_has_every_width_with_every_depth(tmp_path):
    more = {"widths": (4,), "depths": (0, 2), "rates": (0.1,)}
    width_depth.main(width_depth.Config(data="digits", epochs=1, seeds=2, **more, **folders(tmp_path)))
    names = list(kept(tmp_path, "width_depth")["results"])
    assert sum(name.startswith("validation accuracy") for name in names) == 2 + 1
    assert "validation accuracy, no hidden layer at 0.1" in names


@pytest.mark.slow
def test_gradients_vanish_in_deep_sigmoids_and_not_in_relus():
    data = fnnet.datasets.digits()
    batch = fnnet.Batch(data.x[:100], data.y[:100])
    relu, sigmoid = (width_depth.gradient_ratio(kind, 16, 6, batch, 1 / 16, seeds=2) for kind in ("ReLU", "sigmoid"))
    assert sigmoid < 1e-3
    assert relu > 0.05


@pytest.mark.slow
def test_remedies_are_chosen_on_validation_rows_and_tested_once(small, tmp_path):
    more = {"rows": 200, "validation_rows": 200, "hidden": (16,), "dropouts": (0.1, 0.9), "decays": (1e-4, 1.0)}
    found = overfitting.main(overfitting.Config(epochs=4, seeds=2, batch_size=20, **more, **folders(tmp_path)))
    assert list(found) == ["nothing", "dropout", "weight decay", "early stopping"]
    assert found["dropout"].setting == "dropout 0.1"
    assert found["weight decay"].setting == "weight decay 0.0001"
    assert kept(tmp_path, "overfitting")["results"]["test accuracy, nothing"].values == found["nothing"].test.values


@pytest.mark.slow
def test_a_bug_is_measured_at_its_own_rate_and_nan_is_nan(monkeypatch, tmp_path):
    table = stripes(300, 0)
    monkeypatch.setattr(bugs, "from_mnist", lambda: bugs_tables(table))
    chosen = {name: bugs.networks()[name] for name in ("cross-entropy", "A - one_hot for squared error")}
    chosen["softmax overflows, from randn"] = bugs.networks()["softmax overflows, from randn"]
    monkeypatch.setattr(bugs, "networks", lambda: chosen)
    config = bugs.Config(
        epochs=5, rows=100, validation_rows=100, dev_rows=100, rates=(1e-3, 0.1), seeds=2, **folders(tmp_path)
    )
    found = bugs.main(config)
    right, same, overflow = found.values()
    np.testing.assert_allclose(right.dev.values, same.dev.values)
    assert overflow.dev.startswith("NaN (2 of 2 seeds at every rate; argmax over NaN would report ")
    assert kept(tmp_path, "bugs")["results"]["dev accuracy, softmax overflows, from randn"] == overflow.dev


def bugs_tables(table):
    return kaggle_digits.Tables(table, None, None)


def test_a_time_that_is_not_measured_is_the_last_one_of_the_same_command(tmp_path):
    row = {"network": "", "author": "", "results": {"a": Result([1.0])}, "folder": tmp_path}
    before = results_file.read(record("one", command="x", seconds=2.0, **row))
    assert before["seconds"] == 2.0
    assert results_file.read(record("one", command="x", seconds=None, **row))["seconds"] == 2.0
    assert results_file.read(record("one", command="y", seconds=None, **row))["seconds"] is None


def test_a_run_that_diverged_is_recorded_and_said(tmp_path):
    result = Result([97.5, float("nan")], "%", [0, 1])
    path = record("one", command="x", network="", author="", seconds=1.0, folder=tmp_path, results={"error": result})
    assert "NaN" not in path.read_text()
    assert str(result) == str(results_file.read(path)["results"]["error"]) == "NaN (1 of 2 seeds diverged)"
