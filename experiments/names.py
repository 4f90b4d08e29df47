"""Invent given names: six networks learn from 32,033 of them which character comes next.

A table of pairs of characters (bigram), a dense network over the last characters, three recurrent networks and a
transformer, all trained in the same way by AdamW. Names are held out at random, as in makemore: 1,000 to watch the
training, 1,000 for the test, which is made once. The loss is in nats per character, the end of a name being one too.
Names that the networks invent are printed while they learn. The figures show the validation loss after every epoch, and
how far back the gradient of a recurrent network reaches. The file is looked for in FNNET_DATA and fnnet's cache, and
downloaded (0.2 MB) if it is in neither.

Sizes, batches, weight decay and the averages of AdamW are makemore's. The transformer's start, rate, dropout and number
of epochs are ours, chosen on the validation names; the rates of the others are the best there, or a tie with the best:

    python -m experiments.names --kinds bigram dense rnn gru lstm --seeds 2 --search-rates
"""

import dataclasses
import functools
import math
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

import fnnet
from experiments import command_line, shakespeare
from experiments.benchmarks import timing
from experiments.classification import Task, TrainingSettings, search_rates
from experiments.command_line import KeptSettings, check_counts
from experiments.results_file import Result
from experiments.run_folder import CHECKPOINT, RunFolder
from fnnet.plots.theme import COLORS, RIGHT, along_epochs, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind: TypeAlias = Literal["bigram", "dense", "rnn", "gru", "lstm", "transformer"]
_PUBLISHED = 1.92  # makemore, its default transformer
CELLS = {"rnn": "Rnn", "gru": "Gru", "lstm": "Lstm"}
EPOCHS = {"bigram": 10, "dense": 10, "rnn": 10, "gru": 10, "lstm": 10, "transformer": 20}
RATES = {"bigram": 4e-3, "dense": 1e-3, "rnn": 4e-3, "gru": 8e-3, "lstm": 8e-3, "transformer": 2e-3}
_NEWLINE, _NO_TARGET = "\n", -1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(KeptSettings):
    """Settings of the run. Sizes, batches, weight decay and the averages of AdamW are makemore's defaults.

    How the transformer starts, its rate, dropout and epochs are ours, the rates of the others what `--search-rates`
    found.
    """

    kinds: tuple[Kind, ...] = ("bigram", "dense", "rnn", "gru", "lstm", "transformer")
    """Networks to train, one after the other."""
    seeds: int = 3
    """How many networks of each kind to train, each from a random start of its own."""
    epochs: int | None = None
    """How often every name is seen. None: that of the kind in EPOCHS."""
    batch_size: int = 32
    """Names in one step; for the dense network, whose rows are characters, as many characters as they have."""
    learning_rate: float | None = None
    """Of AdamW at the first step; it falls to 0 along half a cosine. None: that of the kind in RATES."""
    weight_decay: float = 0.01
    """Fraction of a weight that a step takes off, times the learning rate."""
    beta2: float = 0.99
    """How slowly AdamW forgets the squares of gradients."""
    width: int = 64
    """Features of a character, and of a hidden layer."""
    layers: int = 4
    """Of the transformer."""
    heads: int = 4
    """Of each attention."""
    dropout: float = 0.1
    """Of the transformer: the fraction that is set to 0, of the embedding and of what a block adds to it."""
    products: Literal["bfloat16"] | None = None
    """Round what the networks multiply to bfloat16; in PyTorch, autocast. Faster on many machines."""
    window: int = 16
    """Characters that the dense network sees."""
    held_out: int = 1000
    """Names for the test, and as many for validation."""
    names: int = 10
    """How many names to print at a time."""
    sample_every: int = 5
    """Epochs from one print to the next."""
    temperature: float = 1.0
    """Below 1: likelier names; above 1: stranger ones."""
    pytorch: bool = False
    """Train the transformers in PyTorch too, epoch by epoch in turn (extra `benchmarks`)."""
    search_rates: bool = False
    """Instead of opening the test names, find the best learning rate of every kind on the validation names."""
    rates: tuple[float, ...] = ()
    """The learning rates that the search tries; none: that of the kind, half of it and twice as much."""
    progress: bool = True
    """Show a bar for each network."""


class Names(NamedTuple):
    """Rows of tokens, (N, longest name + 1), and the vocabulary."""

    train: fnnet.Batch
    validation: fnnet.Batch
    test: fnnet.Batch
    vocabulary: fnnet.datasets.Vocabulary

    def __str__(self) -> str:
        """`30,033 training, 1,000 validation and 1,000 test names`."""
        return (
            f"{len(self.train.x):,} training, {len(self.validation.x):,} validation and {len(self.test.x):,} test names"
        )


def load(held_out: int) -> Names:
    """The names, split at random in the same way every time."""
    data, vocabulary = fnnet.datasets.lines(fnnet.datasets.text("names"))
    rest, test = fnnet.datasets.split(data, test_fraction=held_out / len(data.x), seed=0)
    train, validation = fnnet.datasets.split(rest, test_fraction=held_out / len(rest.x), seed=1)
    return Names(train, validation, test, vocabulary)


def windows(rows: fnnet.Batch, window: int, newline: int) -> fnnet.Batch:
    """Every character of every name as a row: the `window` tokens before it, newlines before the first.

    x (N, T), y (N, T) with -1 in the padding -> x (M, window), y (M,), M the number of targets.
    """
    before = np.full((len(rows.x), window - 1), newline, rows.x.dtype)
    seen = np.lib.stride_tricks.sliding_window_view(np.concatenate([before, rows.x], 1), window, axis=1)
    has_target = rows.y != _NO_TARGET
    return fnnet.Batch(seen[has_target], rows.y[has_target])


def prepared(kind: Kind, names: Names, config: Config) -> tuple[Names, int]:
    """The names as this kind of network takes them, and its batch size: all kinds make about as many steps."""
    if kind != "dense":
        return names, config.batch_size
    newline = int(names.vocabulary.encode(_NEWLINE)[0])
    train, validation, test = (
        windows(part, config.window, newline) for part in (names.train, names.validation, names.test)
    )
    rows = Names(train, validation, test, names.vocabulary)
    return rows, round(config.batch_size * len(rows.train.x) / len(names.train.x))


def transformer(config: Config, tokens: int) -> fnnet.Serial:
    """The network of `fnnet.gpt`, whose weights start at N(0, 0.02^2), with dropout and a start for few features.

    0.02 keeps the size of its input in a layer of 2,500 features; 64 want about 1 / sqrt(64).
    """
    start, last = fnnet.Normal(0.1), fnnet.Normal(0.1 / math.sqrt(2 * config.layers))
    tables = fnnet.Embedding(tokens, config.width, fnnet.Normal(0.2)), fnnet.Positions(fnnet.Normal(0.2))
    dense = functools.partial(fnnet.Dense, products=config.products)
    attention = fnnet.Attention(config.heads, weights=start, out_weights=last, products=config.products)
    hidden = dense(4 * config.width, start), fnnet.Gelu(), dense(config.width, last)
    dropout = (fnnet.Dropout(config.dropout),) * (config.dropout > 0)
    parts = ((fnnet.LayerNorm(), *layers, *dropout) for layers in ((attention,), hidden))
    block = tuple(fnnet.Residual(fnnet.Serial(part)) for part in parts)
    return fnnet.Serial((*tables, *dropout, *block * config.layers, fnnet.LayerNorm(), dense(tokens, start)))


def build(kind: Kind, config: Config, context: int, tokens: int) -> fnnet.Model:
    """A network over rows of `context` tokens, of which there are `tokens` different ones."""
    loss, embedding = fnnet.SoftmaxCrossEntropy(no_target=_NO_TARGET), fnnet.Embedding(tokens, config.width)
    if kind == "transformer":
        return fnnet.Model(transformer(config, tokens), loss, (context,))
    if kind == "bigram":
        return fnnet.Model(fnnet.Embedding(tokens, tokens), loss, (context,))
    if kind == "dense":
        first, last = (fnnet.Dense(n, products=config.products) for n in (config.width, tokens))
        dense = (embedding, fnnet.Flatten(), first, fnnet.Tanh(), last)
        return fnnet.Model(fnnet.Serial(dense), loss, (config.window,))
    cell = getattr(fnnet, CELLS[kind])(config.width)
    recurrent, last = fnnet.Recurrent(cell, products=config.products), fnnet.Dense(tokens, products=config.products)
    return fnnet.Model(fnnet.Serial((embedding, recurrent, last)), loss, (context,))


def epochs_of(kind: Kind, config: Config) -> int:
    """How often this kind of network sees every name."""
    return EPOCHS[kind] if config.epochs is None else config.epochs


def optimizer(rate: float, config: Config, steps: int) -> fnnet.AdamW:
    """AdamW, whose learning rate falls from `rate` to 0 at the last step."""
    decaying = fnnet.CosineDecay(rate, steps)
    return fnnet.AdamW(decaying, beta2=config.beta2, weight_decay=config.weight_decay)


def invented(
    model: fnnet.Model, params: fnnet.Params, vocabulary: fnnet.datasets.Vocabulary, config: Config, seed: int
) -> list[str]:
    """Names drawn one character after the other, from the beginning of a line to its end."""
    (context,) = model.input_shape
    starts = jnp.full((config.names, 1), int(vocabulary.encode(_NEWLINE)[0]), jnp.int32)
    rows = fnnet.generate(model, params, starts, jax.random.key(seed), context - 1, config.temperature)
    return [vocabulary.decode(row).lstrip(_NEWLINE).split(_NEWLINE)[0] for row in np.asarray(rows)]


class Trained(NamedTuple):
    """One network after training, and the mean loss of a character of the test names.

    peer: the same network in PyTorch (a Trainer of benchmarks/peers/gpt_torch.py), or None
    """

    state: fnnet.TrainState
    history: fnnet.History
    test_loss: float
    seconds: float
    peer: Any


def train_one(
    kind: Kind,
    model: fnnet.Model,
    adamw: fnnet.AdamW,
    names: Names,
    batch_size: int,
    config: Config,
    seed: int,
    run: RunFolder,
) -> Trained:
    """Train from one seed; invented names are printed now and then, but for the dense network, which takes windows."""
    init_key, shuffle = jax.random.split(jax.random.key(seed))
    epochs, state, between = epochs_of(kind, config), fnnet.init_state(model, adamw, init_key), 0.0
    epoch, peer = iter(range(1, epochs + 1)), None
    if config.pytorch and kind == "transformer":
        steps, rounded = epochs * -(-len(names.train.x) // batch_size), config.products is not None
        peer = shakespeare.in_pytorch(adamw, state.params, config.heads, steps, dropout=config.dropout, rounded=rounded)

    def after_epoch(state: fnnet.TrainState, history: fnnet.History) -> None:
        nonlocal between
        number, begun = next(epoch), time.perf_counter()
        run.log_epoch(kind, seed, number, history)
        if kind != "dense" and seed == 0 and number % config.sample_every == 0:
            drawn = invented(model, state.params, names.vocabulary, config, number)
            print(f"{kind}, epoch {number}: {', '.join(drawn)}", flush=True)
        if peer is not None:
            rows = np.random.default_rng((seed, number)).permutation(len(names.train.x))
            peer.train(names.train.x[rows], names.train.y[rows], batch_size)
            time.sleep(timing.REST)  # threads of PyTorch spin for a while before they sleep
        between += time.perf_counter() - begun

    start = time.perf_counter()
    state, history = run.fit(
        model,
        adamw,
        state,
        names.train,
        epochs=epochs,
        batch_size=batch_size,
        shuffle=shuffle,
        validation=names.validation,
        progress=config.progress,
        on_epoch=after_epoch,
    )
    seconds = time.perf_counter() - start - between
    test_loss = float(fnnet.evaluate(model, state.params, names.test).loss)
    run.log(data=kind, seed=seed, test_loss=test_loss, seconds=seconds)
    print(f"{kind}, seed {seed}: test loss {test_loss:.4f} ({seconds:.1f} s)", flush=True)
    return Trained(state, history, test_loss, seconds, peer)


def train_kind(kind: Kind, names: Names, config: Config, run: RunFolder) -> list[Trained]:
    """One network per seed; the first is kept, with the vocabulary."""
    rows, batch_size = prepared(kind, names, config)
    model = build(kind, config, names.train.x.shape[1], len(names.vocabulary))
    rate = RATES[kind] if config.learning_rate is None else config.learning_rate
    adamw = optimizer(rate, config, epochs_of(kind, config) * -(-len(rows.train.x) // batch_size))
    trained = [train_one(kind, model, adamw, rows, batch_size, config, seed, run) for seed in range(config.seeds)]
    path = run.path / f"{kind}_{CHECKPOINT}"
    fnnet.save(path, model, adamw, trained[0].state, history=trained[0].history, vocabulary=names.vocabulary)
    return trained


def gradient_norms(kind: str, width: int, steps: int, seed: int) -> np.ndarray:
    """(steps,) norms of dy_T / dx_t, by the backward pass of a recurrent layer as it starts: random inputs and dy_T."""
    layer = fnnet.Recurrent(getattr(fnnet, CELLS[kind])(width))
    key, x_key, dy_key = jax.random.split(jax.random.key(seed), 3)
    params, _ = layer.init(key, (steps, width))
    x = jax.random.normal(x_key, (32, steps, width))
    _, residuals = layer.forward(params, x)
    dy = jnp.zeros_like(x).at[:, -1].set(jax.random.normal(dy_key, (32, width)))
    _, dx = layer.backward(params, residuals, dy)
    return np.sqrt(np.square(np.asarray(dx)).sum(2).mean(0))


def gradients_through_time(kinds: Iterable[str], config: Config, steps: int = 64) -> "Figure":
    """How much of the gradient at the last step arrives at the steps before it."""
    figure_, (axis,) = figure(7, 3.8)
    for color, kind in zip(COLORS, kinds, strict=False):
        norms = gradient_norms(kind, config.width, steps, 0)
        axis.semilogy(np.arange(steps) - steps + 1, norms, color=color, label=kind.upper())
    axis.set(xlabel="step of the input, 0 is the last one", ylabel="norm of the gradient")
    axis.set_title("gradient of the last output with respect to the input of every step, before training", fontsize=11)
    axis.legend(frameon=False)
    return figure_


def curves(found: Mapping[str, list[Trained]]) -> "Figure":
    """Validation loss of every kind: the mean over seeds as a line, their spread as a band."""
    figure_, (axis,) = figure(7, 4.2)
    for color, (kind, networks) in zip(COLORS, found.items(), strict=False):
        losses = np.array([network.history.validation.loss for network in networks])
        epochs, mean, low, high = np.arange(1, losses.shape[1] + 1), losses.mean(0), losses.min(0), losses.max(0)
        axis.plot(epochs, mean, color=color, label=f"{kind}: {mean[-1]:.3f}")
        axis.fill_between(epochs, low, high, color=color, alpha=0.25, linewidth=0)
    axis.axhline(_PUBLISHED, color=RIGHT, linestyle=":", label=f"makemore's transformer: {_PUBLISHED}")
    along_epochs(axis)
    axis.set(ylabel="validation loss per character (nats)")
    axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure_


def say(found: Mapping[str, list[Trained]], config: Config) -> dict[str, Result]:
    """Prints the results by name: losses on the test names and seconds, and those of PyTorch."""
    seeds, results = range(config.seeds), {}
    for kind, networks in found.items():
        results[f"test loss, {kind}"] = Result([n.test_loss for n in networks], "", seeds, 3)
        results[f"seconds of training, {kind}"] = Result([n.seconds for n in networks], "s", seeds, 1)
        peers = [n.peer for n in networks if n.peer is not None]
        if peers:
            x, y, _ = load(config.held_out).test
            results[f"test loss, {kind}, PyTorch"] = Result([p.loss(x, y) for p in peers], "", seeds, 3)
            results[f"seconds of training, {kind}, PyTorch"] = Result([p.seconds for p in peers], "s", seeds, 1)
    for what, result in results.items():
        print(f"{what}: {result}")
    return results


def main(config: Config) -> None:
    counts = (
        "seeds",
        "epochs",
        "batch_size",
        "width",
        "layers",
        "heads",
        "window",
        "held_out",
        "names",
        "sample_every",
    )
    check_counts(config, *counts)
    folder, names = RunFolder("names", config), load(config.held_out)
    with folder as run:
        print(names)
        (search if config.search_rates else learn)(config, names, run)
        run.say_end()


def search(config: Config, names: Names, run: RunFolder) -> None:
    """Every kind at several rates, and the transformer in two other ways; the test names are not used."""
    found = {kind: search_kind(kind, config, names, run) for kind in config.kinds}
    transformers = found.pop("transformer", {})
    others = {what: result for results in found.values() for what, result in results.items()}
    network = f"the same networks, {_length(config)}, judged by {config.held_out:,} validation names"
    for name, results in {"names_rates": others, "names_transformer_rates": transformers}.items():
        if results:
            run.record(name, network=network, results=results)


def search_kind(kind: Kind, config: Config, names: Names, run: RunFolder) -> dict[str, Result]:
    """The best rate of one kind, and of the other transformers at its default."""
    rows, batch_size = prepared(kind, names, config)
    context, tokens = names.train.x.shape[1], len(names.vocabulary)
    rates = config.rates or (RATES[kind] / 2, RATES[kind], 2 * RATES[kind])
    epochs = epochs_of(kind, config)
    steps = {rate: optimizer(rate, config, epochs * -(-len(rows.train.x) // batch_size)) for rate in rates}
    model = build(kind, config, context, tokens)
    networks = {kind: {rate: (model, adamw) for rate, adamw in steps.items()}}
    if kind == "transformer":
        rate, adamw = min(steps.items(), key=lambda item: abs(math.log(item[0] / RATES[kind])))
        others = other_transformers(config, context, tokens)
        networks |= {name: {rate: (other, adamw)} for name, other in others.items()}
    task = Task(rows.train, rows.validation, rows.test, ())
    settings = TrainingSettings(seeds=config.seeds, epochs=epochs, batch_size=batch_size, progress=config.progress)
    return search_rates(networks, dict.fromkeys(networks, RATES[kind]), task, settings, run, "loss")


def other_transformers(config: Config, context: int, tokens: int) -> dict[str, fnnet.Model]:
    """What the search compares with the transformer: more dropout, and the start of `fnnet.gpt`."""
    dropout = config.dropout + 0.1
    dropped = build("transformer", dataclasses.replace(config, dropout=dropout), context, tokens)
    gpt = fnnet.gpt(
        tokens,
        layers=config.layers,
        heads=config.heads,
        width=config.width,
        context=context,
        dropout=config.dropout or None,
    )
    return {f"transformer, dropout {dropout:g}": dropped, "transformer, weights from N(0, 0.02^2)": gpt}


def _length(config: Config) -> str:
    """`20 epochs (transformer), 10 epochs (others)`."""
    lengths = {kind: epochs_of(kind, config) for kind in config.kinds}
    usual = min(lengths.values())
    longer = [f"{n} epochs ({kind})" for kind, n in lengths.items() if n != usual]
    return ", ".join([*longer, f"{usual} epochs" + " (others)" * bool(longer)])


def learn(config: Config, names: Names, run: RunFolder) -> None:
    """Every kind from every seed, tested; losses, names and figures."""
    name = "names" + "_pytorch" * config.pytorch
    found = {kind: train_kind(kind, names, config, run) for kind in config.kinds}
    run.figure(f"{name}_curves", curves(found))
    captions = {f"{name}_curves": "given names: validation loss per character; bands: all seeds"}
    if not config.pytorch:
        run.figure("names_gradients", gradients_through_time(CELLS, config))
        captions["names_gradients"] = "how far back the gradient reaches in recurrent networks before training"
    run.record(
        name,
        network=f"given names, one character after the other: {config.width} features, {_length(config)}",
        author=f"about {_PUBLISHED} for the default transformer of makemore",
        results=say(found, config),
        captions=captions,
    )


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
