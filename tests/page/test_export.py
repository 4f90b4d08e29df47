"""What is written, and what is refused by name; no browser is needed."""

import base64
import dataclasses
import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest

import fnnet
from fnnet.page._export import describe
from fnnet.page._words import LAYERS

FOLDER = Path(fnnet.__file__).parent / "page"
SOURCES = sorted(path for path in FOLDER.rglob("*") if path.suffix in (".js", ".css", ".html"))
KEY = jax.random.key(0)
DIGITS = fnnet.mlp((784, 128, 64, 10), input_shape=(28, 28), scale=1 / 255)


def document_of(path):
    """The JSON in a page."""
    return json.loads(re.search(r'<script type="application/json"[^>]*>(.*?)</script>', path.read_text(), re.DOTALL)[1])


def exported(model, path, **settings):
    return fnnet.export_page(model, fnnet.init(model, KEY), path, **settings)


def test_a_page_is_one_file_under_a_megabyte(tmp_path):
    path = exported(DIGITS, tmp_path / "digit.html")
    assert path == tmp_path / "digit.html"
    assert path.stat().st_size < 1_000_000
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", path.read_text())


def test_parameters_are_stored_as_float32_bit_for_bit():
    params = fnnet.init(DIGITS, KEY)
    stored = describe(DIGITS, params)["params"][2]["w"]
    assert base64.b64decode(stored["float32"]) == np.asarray(params[2].w).tobytes()
    assert tuple(stored["shape"]) == (784, 128)


def test_the_sources_are_short():
    assert sum(len(path.read_text().splitlines()) for path in SOURCES) <= 1500


def test_every_layer_of_the_page_is_in_the_table_of_agreement():
    from tests.page.test_agreement import NETWORKS

    def kinds(layer):
        inner = [*getattr(layer, "layers", ()), *([layer.inner] if isinstance(layer, fnnet.Residual) else [])]
        return {type(layer)}.union(*map(kinds, inner))

    assert set(LAYERS) <= set().union(*(kinds(layer) for _, layers in NETWORKS.values() for layer in layers))


def test_rules_are_those_of_the_printed_trace():
    model = fnnet.mlp((2, 2, 1), activation=fnnet.Gelu(), loss=fnnet.SigmoidBinaryCrossEntropy())
    params = fnnet.init(model, KEY)
    printed = str(fnnet.trace(model, params, np.ones((1, 2), np.float32), np.ones((1, 1), np.float32)))
    document = describe(model, params)
    said = [document["loss"], *document["network"]["layers"]]
    rules = [(each["forward_rules"], each["backward_rules"]) for each in said]
    assert all(forward and backward for forward, backward in rules)
    for pair in rules:
        for rule in pair:
            assert ": " + "; ".join(rule) in " ".join(printed.split())


def test_a_residual_says_both_paths():
    model = fnnet.Model(fnnet.Serial((fnnet.Residual(fnnet.Dense(3)), fnnet.Dense(2))), fnnet.SquaredError(), (3,))
    residual = describe(model, fnnet.init(model, KEY))["network"]["layers"][0]
    assert residual["backward_rules"] == ["da0.r = dy0", "dx = dy0 + dx'"]
    assert residual["inner"]["name"] == "0 Residual / Dense"


def of(*layers, loss=None, shape=(4,)):
    return fnnet.Model(fnnet.Serial(layers), loss or fnnet.SquaredError(), shape)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (of(fnnet.Dropout(0.1), fnnet.Dense(2)), "Dropout"),
        (of(fnnet.LayerNorm(), fnnet.Dense(2)), "LayerNorm"),
        (of(fnnet.Dense(2, products="bfloat16")), "rounds its factors"),
        (of(fnnet.Residual(fnnet.Serial((fnnet.Dense(4), fnnet.BatchNorm())))), "BatchNorm"),
        (of(fnnet.Residual(fnnet.Dense(2), fnnet.Dense(2))), "Residual with a shortcut"),
        (of(fnnet.Parallel((fnnet.Dense(2), fnnet.Dense(2)))), "Parallel"),
        (of(fnnet.Conv(2, (3,)), fnnet.Flatten(), shape=(4, 2)), "Conv"),
        (of(fnnet.MaxPool((2,)), fnnet.Flatten(), shape=(4, 2)), "MaxPool"),
        (of(fnnet.Dense(2), loss=fnnet.Huber()), "Huber"),
        (of(fnnet.Dense(2), loss=fnnet.SoftmaxCrossEntropy(no_target=-1)), "SoftmaxCrossEntropy"),
        (dataclasses.replace(of(fnnet.Dense(2)), penalty=fnnet.L2(0.1)), "L2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_page_cannot_run_is_refused_by_name(tmp_path, model, name):
    with pytest.raises(TypeError, match=f"export_page: the page cannot run .*{name}"):
        exported(model, tmp_path / "no.html")
    assert not (tmp_path / "no.html").exists()


@pytest.mark.parametrize(
    ("model", "settings", "words"),
    [
        (of(fnnet.Dense(2), shape=(21,)), {}, "up to 20 numbers"),
        (of(fnnet.Flatten(), fnnet.Dense(2), shape=(4, 4, 3)), {}, r"\(H, W\)"),
        (of(fnnet.Dense(2), shape=(3, 4)), {}, "rows of numbers"),
        (of(fnnet.Dense(2)), {"inputs": ["a"]}, "expected 4 names of inputs, got 1"),
        (of(fnnet.Dense(2)), {"outputs": ["a"]}, "expected 2 names of outputs, got 1"),
        (of(fnnet.Dense(2)), {"samples": fnnet.Batch(np.zeros((3, 5)), np.zeros((3, 2)))}, "samples with x of shape"),
    ],
)
def test_what_the_page_cannot_show_is_refused(tmp_path, model, settings, words):
    with pytest.raises(ValueError, match=words):
        exported(model, tmp_path / "no.html", **settings)


def test_text_cannot_break_out_of_the_page(tmp_path):
    names = ["</script><script>alert(1)</script>", "<b>"]
    path = exported(of(fnnet.Dense(2)), tmp_path / "page.html", outputs=names, title="<i>{{ script }}</i>")
    assert document_of(path)["output_names"] == names
    assert "<script>alert" not in path.read_text()
    assert "<h1>&lt;i&gt;{{ script }}&lt;/i&gt;</h1>" in path.read_text()
