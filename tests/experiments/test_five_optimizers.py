"""Five optimizers and the guided tour: they keep what they measured, chosen without the test images."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import fnnet
from experiments import activations, five_optimizers, mnist, results_file
from experiments.classification import Task, Trained, train_seeds
from experiments.five_optimizers import SUBJECTS, Config, Recipe
from experiments.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("optimized")

HAS_MNIST = "FNNET_DATA" in os.environ and (Path(os.environ["FNNET_DATA"]) / "mnist").is_dir()
RESULTS = Path(five_optimizers.__file__).parent / "results"
DATA = pytest.mark.parametrize("data", SUBJECTS)


def stripes(rows, seed):
    """Images whose class is the place of a bright stripe, with a little noise; the first is mislabeled."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows, dtype=np.int32) % 10
    x = rng.integers(0, 20, (rows, 28, 28)).astype(np.uint8)
    x[np.arange(rows), 2 * y + 4] += 200
    y[:1] = 5
    return fnnet.Batch(x, y)


SMALL = tuple(Recipe((16,), learning_rate=rate) for rate in (0.01, 0.02))


@pytest.fixture
def tiny(monkeypatch):
    """400 training and 60 test images in place of MNIST, and small candidates for the best network."""
    monkeypatch.setattr(fnnet.datasets, "mnist", lambda: (stripes(400, 0), stripes(60, 1)))
    subject = SUBJECTS["mnist"]._replace(candidates=SMALL, best=SMALL[0])
    monkeypatch.setitem(SUBJECTS, "mnist", subject)
    return subject


def only(folder):
    (path,) = folder.iterdir()
    return path


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def run(tmp_path, **settings):
    """(records of the run, what it kept)."""
    config = Config(runs=tmp_path / "runs", copy_to=tmp_path / "kept", progress=False, batch_size=40, **settings)
    five_optimizers.main(config)
    (kept,) = (tmp_path / "kept").glob("*.json")
    for file in results_file.read(kept)["figures"]:
        assert (tmp_path / "kept" / file).read_bytes().startswith(b"\x89PNG")
    return records(only(tmp_path / "runs" / "five_optimizers")), results_file.read(kept)


@pytest.mark.slow
def test_optimizers_are_compared_over_seeds(tiny, tmp_path, monkeypatch):
    """Here two that are one program."""
    monkeypatch.setattr(five_optimizers, "PLAIN", (16,))
    monkeypatch.setattr(five_optimizers, "optimizers", lambda *_: {"slow": fnnet.Adam(1e-4), "Adam": fnnet.Adam(0.02)})
    rows, kept = run(tmp_path, seeds=2, epochs=2)
    assert list(kept["results"]) == ["test accuracy, slow", "test accuracy, Adam"]
    for name in ("slow", "Adam"):
        tests = [100 * r["test_accuracy"] for r in rows if r["data"] == name and "test_accuracy" in r]
        np.testing.assert_allclose(kept["results"][f"test accuracy, {name}"].values, tests)
        assert len(tests) == 2
    assert sum("validation_loss" in r for r in rows) == 2 * 2 * 2
    assert kept["command"] == "python -m experiments.five_optimizers --seeds 2 --epochs 2 --batch-size 40"
    assert len(kept["figures"]) == 5


def test_the_search_never_opens_the_test_images(tiny, tmp_path, monkeypatch):
    """There are none: predicting no rows is an error."""
    monkeypatch.setattr(fnnet.datasets, "mnist", lambda: (stripes(400, 0), stripes(0, 1)))
    rows, kept = run(tmp_path, search=True, search_epochs=2, seeds=2)
    assert [100 * r["validation_accuracy"] for r in rows if "recipe" in r] == [
        v for r in kept["results"].values() for v in r.values
    ]
    assert list(kept["results"])[1] == f"validation accuracy, {SMALL[1]}"


def test_the_best_network_learns_from_every_training_image(tiny, tmp_path):
    rows, kept = run(tmp_path, seeds=1, best=True, best_epochs=3)
    assert "validation_loss" not in rows[0]
    assert kept["results"]["test accuracy"].values[0] > 90
    assert "784-16-10, Adam at 0.01, 3 epochs" in kept["network"]
    assert len(five_optimizers.load(Config(best=True), tiny).train.y) == 400


def test_a_network_without_mistakes_has_no_figure_of_them(tmp_path):
    test = stripes(20, 0)
    perfect = Trained(None, None, np.eye(10)[test.y])
    with RunFolder("perfect", Config(runs=tmp_path)) as folder:
        task = Task(test, None, test, tuple("0123456789"))
        assert list(five_optimizers.draw_mistakes("a", perfect, task, folder, "")) == ["a_confusion"]
    assert [path.name for path in folder.path.glob("*.png")] == ["a_confusion.png"]


def test_a_recipe_is_the_network_it_says():
    recipe = Recipe((8, 4), (0.2, 0.5), smoothing=0.1, max_norm=2.0)
    assert str(recipe) == "784-8-4-10, dropout 0.2 and 0.5, labels smoothed by 0.1, max-norm 2, Adam at 0.001"
    assert recipe.model().loss == fnnet.SoftmaxCrossEntropy(0.1)
    layers = recipe.model().network.layers
    assert [type(layer).__name__ for layer in layers] == [
        "Flatten", "Rescale", "Dropout", "Dense", "Relu", "Dropout", "Dense", "Relu", "Dropout", "Dense",
    ]  # fmt: skip
    assert [layer.rate for layer in layers if isinstance(layer, fnnet.Dropout)] == [0.2, 0.5, 0.5]
    assert not any(isinstance(layer, fnnet.Dropout) for layer in Recipe((8,)).model().network.layers)
    assert isinstance(recipe.optimizer(10).transformations[-1], fnnet.MaxNorm)


def test_steps_are_big_first_and_a_tenth_at_the_end():
    five = five_optimizers.optimizers((0.4, 0.1, 0.02, 2e-3, 3e-3), 50)
    assert list(five) == ["SGD", "SGD with momentum", "AdaGrad", "RMSProp", "Adam"]
    assert five["SGD"].momentum is None
    assert five["SGD with momentum"].momentum == 0.9
    for name, optimizer in five.items():
        first, last = (fnnet.at_step(optimizer, step, np.float32).learning_rate for step in (0, 50))
        assert first / last == pytest.approx(1 if name == "AdaGrad" else 10), name


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"best": True, "search": True}, "--best --search"),
        ({"search": True, "search_rates": True}, "--search-rates"),
        ({"best_epochs": 0}, "--best-epochs"),
        ({"search_epochs": 0}, "--search-epochs"),
        ({"rows": 0}, "--rows"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused_in_one_line(settings, text, tmp_path):
    with pytest.raises(SystemExit, match=text):
        five_optimizers.main(Config(**settings, runs=tmp_path))
    assert not list(tmp_path.iterdir())


def test_rows_are_the_first_ones(tiny):
    task = five_optimizers.load(Config(rows=100, search=True), tiny)
    assert task.validation is not None
    assert len(task.train.y) + len(task.validation.y) == 100


@DATA
def test_the_best_is_what_the_search_found_on_validation_images(data):
    found = results_file.read(RESULTS / f"five_optimizers_{data}_search.json")["results"]
    assert list(found) == [f"validation accuracy, {recipe}" for recipe in SUBJECTS[data].candidates]
    assert all(len(result.seeds) == 3 for result in found.values())
    assert max(found, key=lambda name: np.mean(found[name].values)) == f"validation accuracy, {SUBJECTS[data].best}"


@DATA
def test_the_plain_network_reaches_what_the_video_reports(data):
    kept = results_file.read(RESULTS / f"five_optimizers_{data}.json")["results"]
    shown = {"mnist": 97.42, "fashion_mnist": 87}[data]
    assert all(len(result.seeds) == 5 for result in kept.values())
    assert max(np.mean(result.values) for result in kept.values()) >= shown


def test_activations_are_compared_over_seeds(tmp_path, monkeypatch):
    monkeypatch.setattr(
        mnist, "load", lambda _: Task(stripes(400, 0), stripes(40, 2), stripes(60, 1), tuple("0123456789"))
    )
    one = {"sigmoid": activations.neurons(activations.Config())["sigmoid"]}
    monkeypatch.setattr(activations, "neurons", lambda _: one)
    settings = {"seeds": 2, "epochs": 2, "batch_size": 40, "hidden": (16,), "progress": False}
    activations.main(activations.Config(**settings, runs=tmp_path / "runs", copy_to=tmp_path / "kept"))
    rows = records(only(tmp_path / "runs" / "activations"))
    kept = results_file.read(tmp_path / "kept" / "activations.json")["results"]
    tests = [100 * r["test_accuracy"] for r in rows if r["data"] == "sigmoid" and "test_accuracy" in r]
    np.testing.assert_allclose(kept["test accuracy, sigmoid"].values, tests)
    assert (tmp_path / "kept" / "activations.png").read_bytes().startswith(b"\x89PNG")


def test_activations_learn_by_plain_descent_from_the_start_that_suits_them():
    config = activations.Config(rate_sigmoid=1.0, rate_tanh=2.0, rate_relu=3.0)
    found = {name: activations.build(neuron, config, 1280) for name, neuron in activations.neurons(config).items()}
    assert {name: optimizer for name, (_, optimizer) in found.items()} == {
        name: fnnet.Sgd(fnnet.CosineDecay(rate, 100)) for name, rate in (("sigmoid", 1), ("tanh", 2), ("ReLU", 3))
    }
    layers = {name: model.network.layers for name, (model, _) in found.items()}
    assert layers["sigmoid"][2:4] == (fnnet.Dense(128, fnnet.GlorotNormal()), fnnet.Sigmoid())
    assert layers["tanh"][2:4] == (fnnet.Dense(128, fnnet.GlorotNormal()), fnnet.Tanh())
    assert layers["ReLU"][2:4] == (fnnet.Dense(128, fnnet.HeNormal()), fnnet.Relu())


@pytest.mark.slow
@pytest.mark.skipif(not HAS_MNIST, reason="needs MNIST in FNNET_DATA")
@DATA
def test_a_kept_number_is_reproduced(data, tmp_path):
    """Seed 0 under SGD gives the number that is in the results file."""
    kept = results_file.read(RESULTS / f"five_optimizers_{data}.json")["results"]["test accuracy, SGD"]
    config = Config(data=data, seeds=1, progress=False, runs=tmp_path)
    task = five_optimizers.load(config, SUBJECTS[data])
    model = fnnet.mlp((784, *five_optimizers.PLAIN, 10), input_shape=(28, 28), scale=1 / 255)
    sgd = five_optimizers.optimizers(SUBJECTS[data].rates, config.steps(len(task.train.y)))["SGD"]
    with RunFolder("again", config) as folder:
        (network,) = train_seeds(model, sgd, task, config, folder)
    assert 100 * (1 - network.errors(task.test) / len(task.test.y)) == pytest.approx(kept.values[0], abs=0.3)
