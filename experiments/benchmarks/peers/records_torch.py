"""The recipes of `experiments.records` in PyTorch, eager: the same network, distortions, optimizer and batches."""

import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import fnnet
from experiments.benchmarks.task import THREADS
from experiments.records import missing_in_pytorch

if TYPE_CHECKING:
    from experiments.records import Candidate


class Peer(NamedTuple):
    """A network that PyTorch has trained, and the seconds that it took."""

    model: nn.Module
    seconds: float

    def errors(self, test: fnnet.Batch) -> float:
        """In percent of (N, 28, 28) uint8 images."""
        return 100 * float(np.mean(probabilities(self.model, test.x).argmax(1) != test.y))


class Distort(nn.Module):
    """`fnnet.Affine`, or `fnnet.Elastic` on images (B, 1, 28, 28), in training; drawn anew for every image."""

    def __init__(self, spec: Any) -> None:
        super().__init__()
        self.affine = spec if isinstance(spec, fnnet.Affine) else spec.affine
        self.elastic = spec if isinstance(spec, fnnet.Elastic) else None

    def forward(self, x: Any) -> Any:
        if not self.training:
            return x
        r, s = _affine(self.affine, *x.shape[::2])
        if self.elastic is not None:
            field = _field(self.elastic, len(x), x.shape[2])
            r, s = r + field[0], s + field[1]
        grid = torch.stack([s, r], -1) * 2 / (x.shape[2] - 1) - 1
        return functional.grid_sample(x, grid, align_corners=True)


class ChannelsLast(nn.Module):
    """(B, C, H, W) -> (B, H, W, C), the order in which fnnet flattens."""

    def forward(self, x: Any) -> Any:
        return x.permute(0, 2, 3, 1)


def network(candidate: "Candidate", params: Any) -> nn.Module:
    """The candidate's network, started at fnnet's parameters. Raises ValueError for parts that have no counterpart."""
    if missing := missing_in_pytorch(candidate):
        raise ValueError(f"network: {', '.join(missing)} of {candidate} are not there in PyTorch's version")
    pixels, hidden = candidate.dropout
    layers: list[nn.Module] = [Distort(d) for d in candidate.distortions]
    layers += [] if pixels is None else [nn.Dropout(pixels)]
    sizes, side, after = [1, *candidate.channels], 28, [] if hidden is None else [hidden]
    for before, filters in zip(sizes, candidate.channels, strict=False):
        layers += [nn.Conv2d(before, filters, candidate.kernel, padding=candidate.padding)]
        layers += [nn.MaxPool2d(2)] + [nn.BatchNorm2d(filters)] * candidate.normalized + [nn.ReLU()]
        side = (side if candidate.padding == "same" else side - candidate.kernel[0] + 1) // 2
    layers += [ChannelsLast(), nn.Flatten()]
    features = [side * side * sizes[-1], *candidate.hidden]
    for before, size in zip(features, candidate.hidden, strict=False):
        layers += [nn.Linear(before, size)] + [nn.BatchNorm1d(size)] * candidate.normalized + [nn.ReLU()]
        layers += [nn.Dropout(rate) for rate in after]
    model = nn.Sequential(*layers, nn.Linear(features[-1], 10))
    _start(model, params)
    return model


def train(candidate: "Candidate", params: Any, train: fnnet.Batch, seed: int) -> Peer:
    """Train from fnnet's first parameters for as many steps, at the same rates, on shuffled batches.

    train   (N, 28, 28) uint8 images and their classes
    """
    torch.manual_seed(seed)
    torch.set_num_threads(THREADS)
    torch.set_float32_matmul_precision("medium" if candidate.products == "bfloat16" else "highest")
    model, loss_fn = network(candidate, params), nn.CrossEntropyLoss(label_smoothing=candidate.smoothing or 0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=candidate.rate, fused=True)
    x, y = (torch.tensor(np.array(a)) for a in (train.x, train.y))
    images, classes = x[:, None].float() / 255, y.long()
    rates, step = learning_rates(candidate, len(train.y)), 0
    probabilities(model, train.x[:2])  # what PyTorch sets up on its first call is not timed, as compiling is not
    model.train()
    begun = time.perf_counter()
    for _ in range(candidate.epochs):
        for rows in torch.randperm(len(images)).split(candidate.batch_size):
            optimizer.param_groups[0]["lr"] = rates[step]
            loss = loss_fn(model(images[rows]), classes[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    return Peer(model, time.perf_counter() - begun)


@torch.no_grad()
def probabilities(model: nn.Module, x: np.ndarray) -> np.ndarray:
    """(N, 10) for (N, 28, 28) uint8 images, without distortions and dropout."""
    model.eval()
    images = torch.tensor(np.array(x))[:, None].float() / 255
    return torch.cat([model(part).softmax(-1) for part in images.split(1000)]).numpy()


def learning_rates(candidate: "Candidate", rows: int) -> list[float]:
    """Of every step."""
    adam: Any = candidate.optimizer(rows)
    steps = candidate.epochs * -(-rows // candidate.batch_size)
    return [float(adam.learning_rate.value_at(np.float32(step))) for step in range(steps)]


def _affine(affine: Any, rows: int, size: int) -> tuple[Any, Any]:
    """(B, size, size) row and column that each pixel reads."""
    draw = torch.rand(6, rows, 1, 1) * 2 - 1
    rotation, scale, shear, shift = (getattr(affine, n, None) or 0.0 for n in ("rotation", "scale", "shear", "shift"))
    turn, center = math.pi / 180 * rotation * draw[0], (size - 1) / 2
    i, j = (torch.arange(size).reshape(shape) - center for shape in ((1, -1, 1), (1, 1, -1)))
    down, right = (1 + scale * draw[1]) * i, (1 + scale * draw[2]) * j + shear * draw[3] * i
    r = turn.cos() * down - turn.sin() * right + shift * draw[4] + center
    return r, turn.sin() * down + turn.cos() * right + shift * draw[5] + center


def _field(elastic: Any, rows: int, size: int) -> Any:
    """(2, B, size, size) displacements of rows and columns: noise on every second pixel, smoothed along both axes."""
    grid = 2 * torch.arange(-(-size // 2)) + 0.5
    smoothing = torch.exp(-((torch.arange(size)[:, None] - grid) ** 2) / (2 * elastic.sigma**2))
    smoothing = smoothing / smoothing.norm(dim=1, keepdim=True)
    noise = torch.rand(2, rows, len(grid), len(grid)) * 2 - 1
    return elastic.alpha / (2 * math.sqrt(math.pi) * elastic.sigma) * (smoothing @ noise @ smoothing.T)


def _start(model: nn.Sequential, params: Any) -> None:
    """Copy fnnet's parameters: kernels (h, w, I, O) and weights (I, O)."""
    ours = [p for p in params if p]
    theirs = [layer for layer in model if isinstance(layer, nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d)]
    with torch.no_grad():
        for layer, p in zip(theirs, ours, strict=True):
            if isinstance(layer, nn.Conv2d | nn.Linear):
                w = np.asarray(p.w)
                axes = (3, 2, 0, 1) if w.ndim == 4 else (1, 0)
                layer.weight.copy_(torch.tensor(np.ascontiguousarray(w.transpose(axes))))
                layer.bias.copy_(torch.tensor(np.asarray(p.b)))
