"""Tables beside scikit-learn: folds hide their test rows from everything, and both libraries learn the same tables."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from experiments import results_file, tabular_data
from experiments.tabular_data import Config, Library, Setting, Table

pytestmark = pytest.mark.usefixtures("optimized")


@pytest.mark.slow
def test_both_libraries_predict_classes_and_numbers(tmp_path, capsys):
    config = Config(tables=("wine", "diabetes"), hidden=(8,), epochs=(60,), folds=3, runs=tmp_path, copy_to=tmp_path)
    results = tabular_data.main(config)
    for library in tabular_data.LIBRARIES:
        assert np.mean(results[f"accuracy, wine, {library}"].values) > 90
        assert np.mean(results[f"R^2, diabetes, {library}"].values) > 0.3
    assert "(3 folds)" in capsys.readouterr().out
    kept = results_file.read(tmp_path / "tabular_data.json")
    assert kept["results"]["R^2, diabetes, fnnet"].values == results["R^2, diabetes, fnnet"].values


def test_targets_are_scaled_by_the_training_rows_alone():
    table = Table(np.array([[1.0], [3.0]]), np.array([10.0, 30.0]), 0)
    np.testing.assert_array_equal(tabular_data.scaled(table, np.array([10.0, 30.0, 50.0])), [-1, 1, 3])
    np.testing.assert_array_equal(tabular_data.unscaled(table, np.array([-1.0, 3.0])), [10, 50])
    model, _, _ = tabular_data.trained(table, Setting(2, 1), Config())
    np.testing.assert_array_equal(model.network.layers[0].mean, [2])


def test_the_setting_is_chosen_without_the_test_rows():
    """A fold is fitted on training rows only, and asked about its test rows once, by the setting chosen before."""
    rng, asked = np.random.default_rng(0), []
    table = Table(np.arange(40.0)[:, None], rng.integers(0, 2, 40), 2)

    def predict(train, rows, setting, config):
        asked.append((set(train.x[:, 0]), set(rows[:, 0]), setting))
        return np.zeros(len(rows), int)

    def score(train, validation, config):
        return {Setting(n, 1): 0.0 * predict(train, validation.x, Setting(n, 1), config).sum() for n in config.hidden}

    config = Config(hidden=(2, 3), epochs=(1,))
    tabular_data.cross_validated(table, Library(score, predict), config)
    per_fold = [asked[i : i + 3] for i in range(0, len(asked), 3)]
    assert len(per_fold) == 5
    for *inner, (train, test, setting) in per_fold:
        assert not train & test
        assert len(train | test) == 40
        assert setting == Setting(2, 1)  # the first of equals
        assert all(a | b == train and not a & b for a, b, _ in inner)
    assert set.union(*(test for *_, (_, test, _) in per_fold)) == set(range(40))
