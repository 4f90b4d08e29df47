"""From a model to one HTML file: the network as a document of JSON, and the page's own files put together around it."""

import dataclasses
import json
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fnnet.inspection import trace
from fnnet.inspection.recording import kind_of
from fnnet.inspection.trace_text import Rules, rules
from fnnet.layers import Conv, MaxPool, MeanPool, Residual, Serial
from fnnet.model import Model, check_model, forward
from fnnet.page._words import LAYERS, LOSSES
from fnnet.protocols import Batch, Initializer, Layer, Loss, Params, check_batch, is_spec_of

_MOST_SLIDERS = 20


def export_page(
    model: Model,
    params: Params,
    path: str | Path,
    *,
    samples: Batch | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    brightest: float | int = 255,
    title: str = "Inside a neural network",
) -> Path:
    """Write a page that shows the network at work, for anybody with a browser, and return its path.

    model     whose input is an image (H, W) or (H, W, 1), to be drawn; two numbers, a point in a plane; or up to 20
              numbers, each with a slider. It may be made of Dense, the activations, Rescale, Standardize, Flatten,
              Reshape, Serial, Residual without a shortcut, and Conv and the pools for images, under
              SoftmaxCrossEntropy, SigmoidBinaryCrossEntropy or SquaredError
    params    of the model; they are stored as float32
    samples   rows that a visitor can pick, with their targets; of two numbers, what the network trains on in the page
    inputs    names of the numbers that go in, for sliders
    outputs   names of the classes or values that come out; counted from 0 if there are none
    brightest what white is among the pixels of an image: 255 where a `Rescale(1 / 255)` follows, or 1
    title     of the page

    Drawings for (28, 28) are fitted and centered as `fnnet.datasets.digit_from_image` does it. Raises TypeError naming
    a layer, a loss or a penalty that the page cannot run; ValueError for inputs and outputs that it cannot show.
    """
    check_model("export_page", model, params)
    document = describe(model, params)
    _check_shown(model, document["outputs"], inputs, outputs)
    document |= _names(model, document["outputs"], inputs, outputs)
    document |= {"brightest": float(brightest), "samples": _samples(model, samples), "title": title}
    path = Path(path)
    path.write_text(_page(title, document), encoding="utf-8")
    return path


def describe(model: Model, params: Params) -> dict[str, Any]:
    """The network, its loss and its parameters as JSON takes them. Raises as `export_page` does."""
    _check_runs(model)
    one_pass = _shapes_of_a_pass(model, params)
    by_name, of_loss = rules(one_pass)
    count = one_pass.result.outputs.shape[1]
    return {
        "network": _spec(model.network, iter(by_name.items())),
        "loss": _settings(model.loss) | _said(of_loss, LOSSES[type(model.loss)]),
        "params": _tree(params),
        "input_shape": model.input_shape,
        "outputs": count,
    }


def _shapes_of_a_pass(model: Model, params: Params) -> Any:
    """The trace of one row with zeros for its numbers: nothing is computed."""
    x = jnp.zeros((1, *model.input_shape))
    shape = jax.eval_shape(lambda p: forward(model, p, x), params).shape
    if len(shape) != 2:
        raise ValueError(f"export_page: expected a network with rows of numbers as outputs, got shape {shape[1:]}")
    shapes = jax.eval_shape(lambda p: trace(model, p, x, jnp.zeros(shape)), params)
    return jax.tree.map(lambda a: jnp.asarray(np.zeros(a.shape, a.dtype)), shapes)


def _check_runs(model: Model) -> None:
    for layer in _parts(model.network):
        if type(layer) is Residual or type(layer) not in LAYERS:
            name = "Residual with a shortcut" if type(layer) is Residual else kind_of(layer)
            raise TypeError(f"export_page: the page cannot run {name}, only {', '.join(map(_name, LAYERS))}")
        if getattr(layer, "products", None) is not None:
            raise TypeError(
                f"export_page: the page cannot run {layer!r}, which rounds its factors; build the model without "
                f"products for the page: the parameters are the same"
            )
        if (
            isinstance(layer, Conv | MaxPool | MeanPool)
            and len(getattr(layer, "kernel", getattr(layer, "size", ()))) != 2
        ):
            raise TypeError(f"export_page: the page cannot run {layer!r}, which is for sequences, only for images")
    loss = model.loss
    if type(loss) not in LOSSES or getattr(loss, "no_target", None) is not None:
        raise TypeError(f"export_page: the page cannot run {loss!r}, only {', '.join(map(_name, LOSSES))}")
    if model.penalty is not None:
        raise TypeError(
            f"export_page: the page cannot run the penalty {model.penalty!r}; pass "
            f"dataclasses.replace(model, penalty=None): predictions are the same"
        )


def _parts(layer: Layer) -> Iterator[Layer]:
    """The layers that compute something, without those that only contain them."""
    if type(layer) is Serial:
        for part in layer.layers:
            yield from _parts(part)
    elif type(layer) is Residual and layer.shortcut is None:
        yield from _parts(layer.inner)
    else:
        yield layer


def _name(cls: type) -> str:
    return cls.__name__


def _check_shown(model: Model, count: int, inputs: Sequence[str] | None, outputs: Sequence[str] | None) -> None:
    shape = model.input_shape
    is_image = len(shape) == 2 or (len(shape) == 3 and shape[2] == 1)
    if not is_image and (len(shape) != 1 or shape[0] > _MOST_SLIDERS):
        raise ValueError(
            f"export_page: expected inputs of shape (H, W) or (H, W, 1), to be drawn, or up to {_MOST_SLIDERS} numbers,"
            f" got {shape}; a network for flat images becomes one for images with fnnet.mlp(..., input_shape=(28, 28))"
        )
    for name, names, wanted in (("inputs", inputs, shape[0]), ("outputs", outputs, count)):
        if names is not None and len(names) != wanted:
            raise ValueError(f"export_page: expected {wanted} names of {name}, got {len(names)}: {list(names)}")


def _names(model: Model, count: int, inputs: Sequence[str] | None, outputs: Sequence[str] | None) -> dict[str, Any]:
    is_numbers = len(model.input_shape) == 1
    of_inputs = [f"x[{i}]" for i in range(model.input_shape[0])] if inputs is None else [*inputs]
    return {
        "input_names": of_inputs if is_numbers else None,
        "output_names": [str(i) for i in range(count)] if outputs is None else [*outputs],
    }


def _samples(model: Model, samples: Batch | None) -> dict[str, Any] | None:
    """Rows, and targets as (N, outputs) or (N,) classes. Raises ValueError for rows that the network does not take."""
    if samples is None:
        return None
    check_batch("export_page", samples, "samples")
    x, y = np.asarray(samples.x), np.asarray(samples.y)
    if x.shape[1:] != model.input_shape or len(x) != len(y):
        raise ValueError(
            f"export_page: expected samples with x of shape (N, {', '.join(map(str, model.input_shape))}) and as many "
            f"targets, got {x.shape} and {y.shape}"
        )
    return {"x": _array(x), "y": y.astype(float).tolist()}


def _spec(layer: Any, named: Iterator[tuple[str, Rules]]) -> dict[str, Any]:
    """A layer with its name and rules in a trace, which lists layers in the order of the forward pass."""
    if type(layer) is Serial:
        return {"kind": "Serial", "layers": [_spec(part, named) for part in layer.layers]}
    inner = {"inner": _spec(layer.inner, named)} if type(layer) is Residual else {}
    name, said = next(named)
    return _settings(layer) | {"name": name} | _said(said, LAYERS[type(layer)]) | inner


def _settings(spec: Layer | Loss) -> dict[str, Any]:
    """The kind of a spec and its numbers and switches; how its parameters started does not matter any more."""
    values = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}  # type: ignore[arg-type]
    left = {k: v for k, v in values.items() if not is_spec_of(v, Initializer) and not is_spec_of(v, Layer)}
    has_bias = {"has_bias": values["biases"] is not None} if "biases" in values else {}
    left = {k: v for k, v in left.items() if k not in ("biases", "products")}
    return {"kind": kind_of(spec)} | has_bias | {k: _array(v) if hasattr(v, "dtype") else v for k, v in left.items()}


def _said(said: Rules, words: tuple[str, str]) -> dict[str, Any]:
    """What its arrays are called, and what it computes in symbols and in words."""
    rules_of = {"forward_rules": said.forward, "backward_rules": said.backward}
    return {"number": said.number, "input": said.x, "output": said.y, "words": words} | rules_of


def _tree(params: Params) -> Any:
    """Parameters as objects and lists of arrays."""
    if params is None or hasattr(params, "dtype"):
        return None if params is None else _array(params)
    if hasattr(params, "_asdict"):
        return {name: _tree(value) for name, value in params._asdict().items()}
    return [_tree(part) for part in params]


def _array(value: Any) -> dict[str, Any]:
    """An array as base64, little-endian: uint8 as it is, anything else as float32."""
    a = np.asarray(value)
    kind = "uint8" if a.dtype == np.uint8 else "float32"
    return {"shape": a.shape, kind: b64encode(a.astype(np.dtype(kind).newbyteorder("<")).tobytes()).decode()}


def _page(title: str, document: dict[str, Any]) -> str:
    """page.html with the style, the script and the document in their places."""
    folder = files("fnnet.page")
    text = {"title": escape(title), "style": _read(folder / "page.css"), "script": script(folder)}
    text["document"] = json.dumps(document, allow_nan=False).replace("<", "\\u003c")
    return re.sub(r"\{\{ (\w+) \}\}", lambda match: text[match[1]], _read(folder / "page.html"))


def script(folder: Traversable, first: str = "view/main.js") -> str:
    """All modules in one script, each before those that import it: a page from the disk may not import files."""
    modules: dict[str, str] = {}
    _collect(folder, first, modules)
    return "\n".join(["const modules = {};", *modules.values()])


_IMPORT = re.compile(r'^import (?:\* as )?(\w+|\{[^}]*\}) from "([^"]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:const|class|function) (\w+))", re.MULTILINE)


def _collect(folder: Traversable, name: str, modules: dict[str, str]) -> None:
    """Add a module, after what it imports, as a function that is called once and returns what it exports."""
    source = _read(folder.joinpath(*name.split("/")))
    for _, target in _IMPORT.findall(source):
        if _resolved(name, target) not in modules:
            _collect(folder, _resolved(name, target), modules)
    body = _IMPORT.sub(lambda match: f'const {match[1]} = modules["{_resolved(name, match[2])}"];', source)
    exports = ", ".join(_EXPORT.findall(source))
    modules[name] = f'modules["{name}"] = (() => {{\n{_EXPORT.sub("", body)}return {{ {exports} }};\n}})();\n'


def _resolved(name: str, target: str) -> str:
    """`layers/dense.js` for "./dense.js" in another file of layers, `arrays.js` for "../arrays.js"."""
    parts = name.split("/")[:-1]
    for part in target.split("/"):
        parts = parts[:-1] if part == ".." else parts if part == "." else [*parts, part]
    return "/".join(parts)


def _read(file: Traversable) -> str:
    return file.read_text(encoding="utf-8")
