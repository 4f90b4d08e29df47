"""The convolutional networks in PyTorch, in its default layout and with channels last, eager and compiled."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from experiments.benchmarks.task import THREADS


class Block(nn.Module):
    """x + two convolutions with batch norm, then ReLU."""

    def __init__(self) -> None:
        super().__init__()
        layers = (nn.Conv2d(64, 64, 3, padding="same", bias=False), nn.BatchNorm2d(64))
        more = (nn.Conv2d(64, 64, 3, padding="same", bias=False), nn.BatchNorm2d(64))
        self.inner = nn.Sequential(*layers, nn.ReLU(), *more)

    def forward(self, x: Any) -> Any:
        return torch.relu(x + self.inner(x))


def lenet(params: Any) -> nn.Module:
    """The network, started at fnnet's parameters; the first dense layer reads channels, then places."""
    model = nn.Sequential(
        nn.Conv2d(1, 16, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(16, 32, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip
    dense = np.asarray(params[9].w).reshape(4, 4, 32, 128).transpose(3, 2, 0, 1).reshape(128, 512)
    with torch.no_grad():
        for layer, p in ((model[0], params[2]), (model[3], params[5])):
            layer.weight.copy_(torch.tensor(np.asarray(p.w).transpose(3, 2, 0, 1)))
        model[7].weight.copy_(torch.tensor(dense))
        model[9].weight.copy_(torch.tensor(np.asarray(params[11].w).T))
        for layer, p in ((model[0], params[2]), (model[3], params[5]), (model[7], params[9]), (model[9], params[11])):
            layer.bias.copy_(torch.tensor(np.asarray(p.b)))
    return model


def resnet(params: Any) -> nn.Module:
    """The network, started at fnnet's parameters."""
    model = nn.Sequential(*(Block() for _ in range(4)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    *blocks, _, dense = params
    with torch.no_grad():
        for module, block in zip(model, blocks[::2], strict=False):
            for layer, p in ((module.inner[0], block[0]), (module.inner[3], block[3])):
                layer.weight.copy_(torch.tensor(np.asarray(p.w).transpose(3, 2, 0, 1)))
        model[-1].weight.copy_(torch.tensor(np.asarray(dense.w).T))
        model[-1].bias.copy_(torch.tensor(np.asarray(dense.b)))
    return model


def inputs(x: np.ndarray, channels_last: bool) -> torch.Tensor:
    """(B, 28, 28) pixels or (B, H, W, C) numbers as PyTorch wants them."""
    images = torch.tensor(np.array(x))
    images = images[:, None].float() / 255 if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()
    return images.contiguous(memory_format=torch.channels_last) if channels_last else images


def train(
    model: nn.Module, batches: tuple[np.ndarray, np.ndarray], channels_last: bool, compiled: bool
) -> Callable[[], None]:
    """A call is one step per batch; the batches lie in memory, as floats."""
    torch.set_num_threads(THREADS)
    model = model.to(memory_format=torch.channels_last) if channels_last else model
    forward, loss_fn = torch.compile(model) if compiled else model, nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    parts = [(inputs(x, channels_last), torch.tensor(np.array(y)).long()) for x, y in zip(*batches, strict=True)]

    def run() -> None:
        for x, y in parts:
            loss = loss_fn(forward(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run
