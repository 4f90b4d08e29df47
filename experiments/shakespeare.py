"""Write like Shakespeare: a small GPT learns which character comes next, with the settings of nanoGPT for CPUs.

4 layers, 4 heads, 128 features, 64 characters at a time, 2,000 steps of 12 rows that begin at random places of the
first nine tenths of the text. The loss is in nats per character; it is measured on the whole last tenth, cut into rows
that do not overlap (nanoGPT measures 240 random rows of it). A sample is printed at every measurement. The figures show
the loss while it learns, and where each head of the first and the last layer looks. --best trains a network that needs
about ten minutes on two cores and is measured once, at the end; its settings were chosen by --search, on the end of the
training text. The file is looked for in FNNET_DATA and fnnet's cache, and downloaded (1.1 MB) if it is in neither;
--text python learns the language reference that comes with Python, and --text PATH a text of your own.
"""

import dataclasses
import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

import fnnet
from experiments import command_line
from experiments.benchmarks import systems, timing
from experiments.command_line import KeptSettings, check_counts, check_multiple
from experiments.results_file import Result
from experiments.run_folder import CHECKPOINT, RunFolder
from fnnet.plots.theme import COLORS, RIGHT, empty_figure, figure
from fnnet.protocols import Optimizer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from experiments.benchmarks.peers import gpt_torch

_PUBLISHED = 1.88  # nanoGPT's README, for these settings
CANDIDATES: dict[str, dict[str, Any]] = {
    "rate 0.001": {},
    "rate 0.003": {"learning_rate": 3e-3, "last_rate": 1e-4},
    "rate 0.003, context 128": {"learning_rate": 3e-3, "last_rate": 1e-4, "context": 128, "batch_size": 6},
    "rate 0.003, context 128, rotary": {
        "learning_rate": 3e-3, "last_rate": 1e-4, "context": 128, "batch_size": 6, "rotary": True,
    },
}  # fmt: skip
"""What --search compares, as changes of the settings."""
BEST = CANDIDATES["rate 0.003, context 128, rotary"] | {"steps": 20_000}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(KeptSettings):
    """Settings of the run. The defaults are nanoGPT's: its command for CPUs, its file for this text, its defaults."""

    text: str = "shakespeare"
    """shakespeare, python, or the path of a text file."""
    seeds: int = 3
    """How many networks to train, each from a random start of its own."""
    steps: int = 2000
    """Updates."""
    batch_size: int = 12
    """Rows in one update."""
    context: int = 64
    """Characters in a row, the most that the network sees."""
    layers: int = 4
    """Blocks of an attention and a dense network."""
    heads: int = 4
    """Of each attention."""
    width: int = 128
    """Features of a character."""
    products: Literal["bfloat16"] | None = None
    """Round what is multiplied to bfloat16; in PyTorch, autocast. Faster on many machines."""
    rotary: bool = False
    """Rotary positions within attention instead of learned ones that are added."""
    learning_rate: float = 1e-3
    """Of AdamW after the warm-up."""
    last_rate: float = 1e-4
    """Of AdamW at the last update; half a cosine leads there."""
    warmup: int = 100
    """Updates until the learning rate is reached, in a straight line."""
    beta1: float = 0.9
    """How slowly AdamW forgets gradients."""
    beta2: float = 0.99
    """How slowly AdamW forgets their squares."""
    weight_decay: float = 0.1
    """Fraction of a weight that an update takes off, times the learning rate."""
    clip: float = 1.0
    """Largest norm of all gradients together."""
    validation_fraction: float = 0.1
    """End of the text that is held out."""
    report_every: int = 250
    """Updates from one measurement to the next; a divisor of the steps."""
    sample: int = 300
    """Characters of a sample."""
    temperature: float = 0.8
    """Of samples; below 1: likelier characters; above 1: stranger ones."""
    best: bool = False
    """Train the best network in ten minutes: its settings replace those above."""
    search: bool = False
    """Train candidates for the best network, one after the other, and measure them on the end of the training text."""
    pytorch: bool = False
    """Train the same networks in PyTorch too, in turn (extra `benchmarks`)."""


class Task(NamedTuple):
    """A text in two parts: the beginning, to draw rows from, and rows of its end."""

    train: str
    validation: fnnet.Batch
    vocabulary: fnnet.datasets.Vocabulary

    def __str__(self) -> str:
        """`1,003,854 characters, 65 different ones; 111,488 held out`."""
        held_out = f"{self.validation.x.size:,} held out"
        return f"{len(self.train):,} characters, {len(self.vocabulary)} different ones; {held_out}"


class Trained(NamedTuple):
    """One network after training, with the losses at every measurement and the seconds that the updates took.

    peer: the same network in PyTorch (a Trainer of benchmarks/peers/gpt_torch.py), or None
    """

    state: fnnet.TrainState
    training: list[float]
    validation: list[float]
    seconds: float
    peer: Any


def load(config: Config) -> Task:
    """The text, with the vocabulary of all of it."""
    text = fnnet.datasets.text(config.text)
    vocabulary = fnnet.datasets.Vocabulary.of(text)
    cut = int(len(text) * (1 - config.validation_fraction))
    if config.search:
        text, cut = text[:cut], int(cut * (1 - config.validation_fraction))
    validation, _ = fnnet.datasets.characters(text[cut:], config.context, vocabulary=vocabulary)
    return Task(text[:cut], validation, vocabulary)


def drawn(task: Task, config: Config, seed: int) -> fnnet.Batch:
    """The rows of all updates, in order: each begins at any place of the training text."""
    rows, _ = fnnet.datasets.characters(task.train, config.context, vocabulary=task.vocabulary, stride=1)
    starts = np.random.default_rng(seed).integers(len(rows.x), size=config.steps * config.batch_size)
    return fnnet.Batch(rows.x[starts], rows.y[starts])


def build(config: Config, tokens: int) -> tuple[fnnet.Model, Optimizer]:
    """The GPT, and AdamW after clipping.

    nanoGPT's first update has 1 / (warmup + 1) of the learning rate, the one after the warm-up all of it. It decays
    embeddings and positions too: here that depends on which parameters are called `w`.
    """
    cosine = fnnet.CosineDecay(config.learning_rate, max(config.steps - config.warmup, 1), config.last_rate)
    adamw = fnnet.AdamW(
        fnnet.Warmup(cosine, config.warmup + 1),
        beta1=config.beta1,
        beta2=config.beta2,
        weight_decay=config.weight_decay,
    )
    model = fnnet.gpt(
        tokens,
        layers=config.layers,
        heads=config.heads,
        width=config.width,
        context=config.context,
        rotary=config.rotary,
        products=config.products,
    )
    return model, fnnet.Chain((fnnet.ClipByGlobalNorm(config.clip), adamw))


def sample(model: fnnet.Model, params: fnnet.Params, task: Task, config: Config, seed: int) -> str:
    """Text that goes on from a newline (or the first character that the model knows)."""
    start = "\n" if "\n" in task.vocabulary.characters else task.vocabulary.characters[0]
    tokens = jnp.asarray(task.vocabulary.encode(start))[None]
    written = fnnet.generate(model, params, tokens, jax.random.key(seed), config.sample, config.temperature)
    return task.vocabulary.decode(np.asarray(written)[0])


def train_one(
    model: fnnet.Model, optimizer: Optimizer, task: Task, config: Config, seed: int, run: RunFolder
) -> Trained:
    """Train from one seed, measuring now and then; the first seed prints samples."""
    rows, size = drawn(task, config, seed), config.report_every * config.batch_size
    state = fnnet.init_state(model, optimizer, jax.random.key(seed))
    training, validation, seconds = [], [], 0.0
    peer = None
    if config.pytorch:
        adamw = cast(fnnet.Chain, optimizer).transformations[1]
        rounded = config.products is not None
        peer = in_pytorch(
            cast(fnnet.AdamW, adamw), state.params, config.heads, config.steps, config.clip, rounded=rounded
        )
    for step in range(config.report_every, config.steps + 1, config.report_every):
        part = fnnet.Batch(*(a[(step // config.report_every - 1) * size :][:size] for a in rows[:2]))
        begun = time.perf_counter()
        state, metrics = fnnet.train_epoch(model, optimizer, state, part, batch_size=config.batch_size, shuffle=None)
        training.append(float(metrics.loss))
        seconds += time.perf_counter() - begun
        run.log(seed=seed, step=step, loss=training[-1], seconds=seconds)
        print(f"seed {seed}, step {step}: training loss {training[-1]:.3f} ({seconds:.1f} s)", end="")
        if not config.best or step == config.steps:
            validation.append(float(fnnet.evaluate(model, state.params, task.validation).loss))
            run.log(seed=seed, step=step, validation_loss=validation[-1])
            print(f", validation loss {validation[-1]:.3f}", end="")
        print(flush=True)
        if peer is not None:
            follow(peer, part, task, config, f"seed {seed}, step {step}", run)
        if seed == 0:
            print(sample(model, state.params, task, config, step), end="\n\n", flush=True)
    return Trained(state, training, validation, seconds, peer)


def in_pytorch(
    adamw: fnnet.AdamW,
    params: fnnet.Params,
    heads: int,
    steps: int,
    clip: float | None = None,
    dropout: float = 0.0,
    rounded: bool = False,
) -> "gpt_torch.Trainer":
    """The same network with the same optimizer in PyTorch, started at the same parameters."""
    try:
        from experiments.benchmarks.peers import gpt_torch
    except ModuleNotFoundError as error:
        raise SystemExit(systems.missing(error)) from None
    rate: Any = adamw.learning_rate
    rates = np.asarray(jax.vmap(rate.value_at)(jnp.arange(float(steps))))
    betas = (float(adamw.beta1), float(adamw.beta2))
    return gpt_torch.Trainer(params, heads, rates, betas, float(adamw.weight_decay), clip, dropout, rounded)


def follow(peer: Any, part: fnnet.Batch, task: Task, config: Config, name: str, run: RunFolder) -> None:
    """The updates that fnnet has just made, then a pause: threads of PyTorch spin for a while before they sleep."""
    loss = peer.train(part.x, part.y, config.batch_size)
    print(f"{name}, PyTorch: training loss {loss:.3f} ({peer.seconds:.1f} s)", flush=True)
    run.log(system=f"{name}, PyTorch", loss=loss, seconds=peer.seconds)
    time.sleep(timing.REST)


def curves(networks: list[Trained], config: Config) -> "Figure":
    """Losses at every measurement, one line per seed."""
    figure_, (axis,) = figure(7, 3.6)
    steps = np.arange(config.report_every, config.steps + 1, config.report_every)
    names = ("training (mean since the last measurement)", "validation")
    for seed, network in enumerate(networks):
        for color, name, losses in zip(COLORS, names, network[1:3], strict=False):
            style = {"marker": "o"} if len(losses) == 1 else {}
            axis.plot(steps[-len(losses) :], losses, color=color, label=name if seed == 0 else None, **style)
    published = f"validation, nanoGPT's README, 2,000 updates: {_PUBLISHED}"
    axis.axhline(_PUBLISHED, color=RIGHT, linestyle=":", label=published)
    axis.set(xlabel="updates", ylabel="loss per character (nats)")
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.legend(frameon=False)
    return figure_


def attention_weights(params: Any, x: np.ndarray, heads: int) -> np.ndarray:
    """(heads, T, T): row t has the weights of the steps up to t, by an attention's parameters and its input (T, I)."""
    q, k = (
        (x @ np.asarray(p.w) + (0 if p.b is None else np.asarray(p.b))).reshape(len(x), heads, -1)
        for p in (params.query, params.key)
    )
    scores = np.einsum("thd,shd->hts", q, k) / np.sqrt(q.shape[-1])
    scores = np.where(np.tri(len(x), dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def attention_maps(model: fnnet.Model, params: fnnet.Params, task: Task, config: Config, shown: int = 32) -> "Figure":
    """Where the heads of the first and the last attention look, in the first characters of the validation text."""
    row = fnnet.Batch(task.validation.x[:1], task.validation.y[:1])
    trace = fnnet.trace(model, params, row.x, row.y)
    attentions = [layer for name, layer in trace.layers.items() if name.endswith("Attention")]
    text = task.vocabulary.decode(row.x[0])[:shown].replace("\n", "\u21b5").replace(" ", "\u00b7")
    figure_ = empty_figure(3 * config.heads, 6.6)
    axes = figure_.subplots(2, config.heads, squeeze=False)
    for place, layer, line in zip(("first", "last"), (attentions[0], attentions[-1]), axes, strict=True):
        maps = attention_weights(layer.params, np.asarray(layer.x[0]), config.heads)
        for head, (axis, weights) in enumerate(zip(line, maps, strict=True)):
            axis.imshow(weights[:shown, :shown], cmap="gray_r", vmin=0)
            axis.set_xticks(range(len(text)), text, fontsize=6)
            axis.set_yticks(range(len(text)), text, fontsize=6)
            axis.tick_params(length=0, pad=1)
            axis.set_title(f"{place} layer, head {head + 1}", fontsize=10)
    figure_.suptitle("how much each character (row) takes from those up to it (columns): darker is more", fontsize=11)
    return figure_


def search(config: Config, run: RunFolder) -> None:
    """Every candidate once, from the first seed."""
    results = {}
    for name, changes in CANDIDATES.items():
        candidate = dataclasses.replace(config, **changes)
        task = load(candidate)
        print(f"{name}: {task}")
        network = train_one(*build(candidate, len(task.vocabulary)), task, candidate, 0, run)
        results[f"loss on the end of the training text, {name}"] = Result([network.validation[-1]], "", (0,), 3)
    run.record(
        "shakespeare_search",
        network=f"candidates for the best GPT in ten minutes, {config.steps:,} steps each",
        results=say(results),
    )


def measure(config: Config, run: RunFolder) -> None:
    """Networks from every seed, their losses and figures."""
    name = f"shakespeare{'_best' * config.best}{'_pytorch' * config.pytorch}"
    task = load(config)
    print(task)
    model, optimizer = build(config, len(task.vocabulary))
    networks = [train_one(model, optimizer, task, config, seed, run) for seed in range(config.seeds)]
    first = networks[0].state
    fnnet.save(run.path / CHECKPOINT, model, optimizer, first, vocabulary=task.vocabulary)
    captions = {f"{name}_curves": "tiny Shakespeare: loss per character while a GPT learns"}
    run.figure(f"{name}_curves", curves(networks, config))
    if not (config.rotary or config.pytorch):
        captions[f"{name}_attention"] = "which characters the heads of the first and the last layer look at"
        run.figure(f"{name}_attention", attention_maps(model, first.params, task, config))
    run.write(f"{name}_sample.txt", sample(model, first.params, task, config, 0) + "\n")
    run.record(
        name,
        network=f"GPT: {config.layers} layers, {config.heads} heads, width {config.width}, context {config.context}; "
        f"{config.steps:,} steps of {config.batch_size}",
        author=f"about {_PUBLISHED} validation loss in three minutes (nanoGPT, on a laptop)",
        results=say(found(networks, task)),
        captions=captions,
    )


def found(networks: list[Trained], task: Task) -> dict[str, Result]:
    """Losses on the validation text and seconds, and those of PyTorch."""
    seeds, peers = range(len(networks)), [n.peer for n in networks if n.peer is not None]
    x, y, _ = task.validation
    results = {
        "validation loss": Result([n.validation[-1] for n in networks], "", seeds, 3),
        "seconds of training": Result([n.seconds for n in networks], "s", seeds, 1),
    }
    if peers:
        results |= {
            "validation loss, PyTorch": Result([p.loss(x, y) for p in peers], "", seeds, 3),
            "seconds of training, PyTorch": Result([p.seconds for p in peers], "s", seeds, 1),
        }
    return results


def say(results: dict[str, Result]) -> dict[str, Result]:
    """Prints them."""
    for what, result in results.items():
        print(f"{what}: {result}")
    return results


def main(config: Config) -> None:
    folder = RunFolder("shakespeare", config)
    if config.best:
        config = dataclasses.replace(config, **BEST)
    check_counts(config, "seeds", "batch_size", "context", "layers", "heads", "width", "warmup", "sample")
    if config.pytorch and config.rotary:
        raise SystemExit("--pytorch: PyTorch's version has learned positions, not rotary ones; leave one of them out")
    check_multiple(config, "steps")
    if not 0 < config.validation_fraction < 1:
        raise SystemExit(f"--validation-fraction: expected a number between 0 and 1, got {config.validation_fraction}")
    with folder as run:
        (search if config.search else measure)(config, run)
        run.say_end()


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
