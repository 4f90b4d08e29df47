"""Learning rates are chosen on validation rows by a command; the defaults are what it found, and ties are ties."""

import re
from pathlib import Path

import numpy as np
import pytest

import fnnet
from experiments import (
    activations,
    bugs,
    convolutions,
    digits,
    five_optimizers,
    kaggle_digits,
    mnist,
    names,
    results_file,
    xor,
)
from experiments.classification import Task, TrainingSettings, is_tie, search_rates
from experiments.five_optimizers import SUBJECTS
from experiments.run_folder import RunFolder
from tests.experiments.test_experiments import only, records
from tests.experiments.test_five_optimizers import stripes
from tests.experiments.test_text import NAMES

pytestmark = pytest.mark.usefixtures("optimized")

RESULTS = Path(five_optimizers.__file__).parent / "results"


# --- the choice itself ---


@pytest.mark.parametrize(
    ("one", "other", "tie"),
    [
        ([97.0, 98.0], [97.4, 97.5], True),
        ([97.0, 97.2], [97.5, 97.6], False),
        ([97.0, 97.2], [97.2, 98.4], True),
        ([97.0], [97.0], False),
        ([97.0, np.nan], [97.0, 97.1], False),
    ],
    ids=str,
)
def test_a_tie_is_closer_than_the_spread_over_seeds(one, other, tie):
    assert is_tie(np.array(one), np.array(other)) is tie
    assert is_tie(np.array(other), np.array(one)) is tie


def searched(tmp_path, default, seeds, **more):
    """What a search over three rates, one of them useless and two the same, writes."""
    model = fnnet.mlp((784, 10), input_shape=(28, 28), scale=1 / 255)
    rates = {name: (model, fnnet.Adam(rate)) for name, rate in ((0.1, 1e-9), (0.2, 0.02), (0.4, 0.02))}
    settings = TrainingSettings(seeds=seeds, epochs=3, batch_size=40, progress=False, runs=tmp_path)
    task = Task(stripes(400, 0), stripes(40, 2), stripes(0, 1), ())
    with RunFolder("search", settings) as run:
        found = search_rates({"Adam": rates}, {"Adam": default}, task, settings, run, **more)
    return found, records(only(tmp_path / "search"))


@pytest.mark.parametrize(
    ("default", "seeds", "said"),
    [
        (0.4, 2, "0.4 (of 0.1, 0.2, 0.4; a tie with 0.2)"),
        (0.1, 2, "0.2 (of 0.1, 0.2, 0.4; a tie with 0.4)"),
        (0.4, 1, "0.2 (of 0.1, 0.2, 0.4)"),
    ],
    ids=str,
)
def test_a_search_keeps_the_default_only_where_it_is_a_tie(tmp_path, default, seeds, said):
    found, rows = searched(tmp_path, default, seeds)
    ((what, result),) = found.items()
    assert what == f"validation accuracy, Adam at {said}"
    measured = [row["validation_accuracy"] for row in rows if row["rate"] == float(said.split()[0])]
    np.testing.assert_allclose(result.values, 100 * np.array(measured))
    assert min(result.values) > 50
    assert len(rows) == 3 * seeds


def test_a_search_by_the_loss_prefers_the_smaller_one(tmp_path):
    ((what, result),) = searched(tmp_path, 0.1, 2, rank_by="loss")[0].items()
    assert what == "validation loss, Adam at 0.2 (of 0.1, 0.2, 0.4; a tie with 0.4)"
    assert max(result.values) < 1


# --- what was found and kept ---


def rates_found(file):
    """name -> (the rate chosen, those that were tried), as the keys of a results file of a search say."""
    kept = results_file.read(RESULTS / f"{file}.json")["results"]
    form = r"validation (?:accuracy|loss), (.+) at (\S+) \(of ([^;]+)(?:; a tie with .+)?\)"
    words = [re.fullmatch(form, key).groups() for key in kept]
    return {name: (float(rate), tuple(map(float, tried.split(", ")))) for name, rate, tried in words}


@pytest.mark.parametrize("data", SUBJECTS)
def test_the_rates_of_the_optimizers_are_what_the_search_found(data):
    found = rates_found(f"five_optimizers_{data}_rates")
    assert tuple(rate for rate, _ in found.values()) == SUBJECTS[data].rates
    assert {name: tried for name, (_, tried) in found.items()} == five_optimizers.TRIED
    for rate, tried in found.values():
        assert min(tried) < rate < max(tried), "the best of the range is at its end"


def test_the_rates_of_the_activations_are_what_the_search_found():
    found, config = rates_found("activations_search"), activations.Config()
    assert {name: rate for name, (rate, _) in found.items()} == {
        name: neuron.rate for name, neuron in activations.neurons(config).items()
    }
    for rate, tried in found.values():
        assert tried == config.rates
        assert min(tried) < rate < max(tried), "the best of the range is at its end"


DEFAULTS = {
    "digits_rates": ("dropout and smoothed labels", digits.Config()),
    "mnist_rates": ("Adam", mnist.Config()),
    "convolutions_mnist_rates": ("Adam", convolutions.Config()),
}


@pytest.mark.parametrize(("file", "name", "config"), [(file, *rest) for file, rest in DEFAULTS.items()])
def test_a_default_rate_is_what_the_search_found(file, name, config):
    rate, tried = rates_found(file)[name]
    assert (rate, tried) == (config.learning_rate, config.rates)
    assert min(tried) < rate < max(tried), "the best of the range is at its end"


@pytest.mark.parametrize("kind", [kind for kind in names.Config.kinds if kind != "transformer"])
def test_the_rates_of_the_names_are_what_the_search_found(kind):
    rate, tried = rates_found("names_rates")[kind]
    assert tried == (rate / 2, rate, 2 * rate)
    assert rate == names.RATES[kind]


def test_dropout_and_smoothed_labels_are_the_best_for_digits_or_a_tie():
    both, *others = (np.array(r.values) for r in results_file.read(RESULTS / "digits_rates.json")["results"].values())
    assert len(others) == 3
    assert all(both.mean() >= other.mean() or is_tie(both, other) for other in others)


def test_the_rates_of_kaggles_digits_are_the_best_in_the_clinic():
    found = results_file.read(RESULTS / "bugs.json")["results"]
    config = kaggle_digits.Config()
    assert f"dev accuracy, squared error, at {config.learning_rate:g}" in found
    assert f"dev accuracy, cross-entropy, at {config.gentle_rate:g}" in found
    assert min(bugs.Config().rates) < config.gentle_rate < config.learning_rate < max(bugs.Config().rates)


def test_the_settings_that_solve_xor_are_what_the_search_found():
    found = results_file.read(RESULTS / "xor_search.json")["results"]
    learned = {what.removeprefix("starts that learn, "): int(said.split()[0]) for what, said in found.items()}
    assert learned["randn * 0.5, descent at 0.5"] == max(learned.values())
    assert not set(xor.CHOOSING_SEEDS) & set(range(1000))


# --- the searches, small, and without test rows ---


def found_by(script, tmp_path, **settings):
    """What the search of a script keeps."""
    settings |= {"search_rates": True, "runs": tmp_path / "runs", "copy_to": tmp_path / "kept", "progress": False}
    script.main(script.Config(**settings))
    (kept,) = (tmp_path / "kept").iterdir()
    return results_file.read(kept)["results"]


@pytest.fixture
def no_test_images(monkeypatch):
    """Stripes in place of MNIST, and an empty test set."""
    monkeypatch.setattr(fnnet.datasets, "mnist", lambda: (stripes(400, 0), stripes(0, 1)))


@pytest.mark.parametrize("data", ["mnist"])
def test_a_search_for_rates_finds_the_one_that_learns_without_test_images(data, no_test_images, tmp_path, monkeypatch):
    monkeypatch.setattr(five_optimizers, "PLAIN", (16,))
    monkeypatch.setattr(five_optimizers, "TRIED", {"Adam": (1e-6, 0.02)})
    monkeypatch.setattr(five_optimizers, "optimizers", lambda rates, _: {"Adam": fnnet.Adam(rates[0])})
    monkeypatch.setitem(SUBJECTS, data, SUBJECTS[data]._replace(rates=(4e-3,)))
    found = found_by(five_optimizers, tmp_path, seeds=2, epochs=3, batch_size=40)
    assert list(found) == ["validation accuracy, Adam at 0.02 (of 1e-06, 0.02)"]
    (result,) = found.values()
    assert len(result.values) == 2
    assert min(result.values) > 50


def test_the_search_of_the_activations_never_opens_the_test_images(no_test_images, tmp_path, monkeypatch):
    one = {"ReLU": activations.neurons(activations.Config())["ReLU"]}
    monkeypatch.setattr(activations, "neurons", lambda _: one)
    found = found_by(activations, tmp_path, seeds=2, epochs=3, batch_size=40, hidden=(16,), rates=(1e-6, 0.1))
    assert list(found) == ["validation accuracy, ReLU at 0.1 (of 1e-06, 0.1)"]


def test_the_search_of_mnist_never_opens_the_test_images(no_test_images, tmp_path):
    found = found_by(mnist, tmp_path, seeds=2, epochs=3, batch_size=40, hidden=(16,), rates=(1e-6, 0.02))
    assert list(found) == ["validation accuracy, Adam at 0.02 (of 1e-06, 0.02)"]


@pytest.mark.slow
def test_the_search_of_the_convolutions_never_opens_the_test_images(no_test_images, tmp_path):
    small = {"channels": (4,), "hidden": (16,), "rates": (1e-6, 0.02)}
    found = found_by(convolutions, tmp_path, seeds=2, epochs=3, batch_size=40, **small)
    assert list(found) == ["validation accuracy, Adam at 0.02 (of 1e-06, 0.02)"]


@pytest.mark.slow
def test_the_search_of_the_digits_compares_four_variants(tmp_path):
    found = found_by(digits, tmp_path, seeds=2, epochs=2, hidden=(8,), rates=(1e-6, 0.02))
    rates = [re.sub(r".*, (.+) \(.*", r"\1", name) for name in found]
    assert rates == [f"{name} at 0.02" for name in digits.variants(digits.Config())]


def test_the_digits_that_choose_are_in_no_test():
    task, tested = digits.untested(), digits.tasks(digits.Config()).values()
    assert task.validation is not None
    chosen = {image.tobytes() for image in np.concatenate([task.train.x, task.validation.x])}
    for other in tested:
        assert not chosen & {image.tobytes() for image in other.test.x}
    assert len(chosen) == len(task.train.y) + len(task.validation.y) > 1000


@pytest.mark.slow
def test_the_search_of_the_names_never_opens_the_test_names(tmp_path, monkeypatch):
    monkeypatch.setattr(fnnet.datasets, "text", lambda _: NAMES)
    monkeypatch.setattr(fnnet, "evaluate", None)
    small = {"width": 8, "layers": 1, "heads": 2, "window": 3, "held_out": 6, "batch_size": 8}
    config = small | {"seeds": 2, "epochs": 3, "rates": (1e-6, 0.02)}
    (dense,) = found_by(names, tmp_path / "dense", kinds=("dense",), **config)
    transformer, *others = found_by(names, tmp_path / "transformer", kinds=("transformer",), **config)
    assert dense == "validation loss, dense at 0.02 (of 1e-06, 0.02)"
    assert transformer == "validation loss, transformer at 0.02 (of 1e-06, 0.02)"
    assert len(others) == 2
    assert all(re.fullmatch(r"validation loss, transformer, .+ at 0.02 \(of 0.02\)", name) for name in others)


@pytest.mark.slow
def test_the_search_of_xor_counts_starts_that_learn(tmp_path, monkeypatch):
    monkeypatch.setattr(xor, "CHOOSING_SEEDS", range(5))
    xor.main(xor.Config(choose=True, epochs=2000, runs=tmp_path / "runs", copy_to=tmp_path))
    found = results_file.read(tmp_path / "xor_search.json")["results"]
    assert len(found) == 3 * 7
    assert found["starts that learn, randn * 0.5, descent at 0.05"] == "0 of 5"
    assert found["starts that learn, randn * 1, descent at 0.5"] == (
        f"{xor.count_learned(1.0, fnnet.Sgd(0.5), 2000, range(5))} of 5"
    )
