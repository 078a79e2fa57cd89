"""A network without batch norm, small enough to be trained in seconds, and a function that processes run together."""

from pathlib import Path

import torch
from torch import nn

from cspops.models.backbones import ImageNetwork
from cspops.models.checkpoint import save_model
from cspops.models.heads import Standardise
from cspops.params.image_networks import Full
from cspops.ranks import ALONE, Processes
from cspops.training import loop
from cspops.training.finetune_network import Classifier, LabelledImages, finetune_network
from cspops.training.loop import Curve, Run
from cspops.training.resume import Resume

CPU = torch.device("cpu")
SETTINGS = Full(
    head="linear",
    probe_l2=(),
    hidden=8,
    epochs=3,
    batch_size=10,
    batch_norm="trained",
    learning_rate=0.01,
    weight_decay=0.05,
    layer_decay=0.5,
    warm_up=0.25,
    label_smoothing=0.1,
    ema=0.9,
    accumulation=1,
    patience=0,
    min_scale=0.7,
    colour_jitter=0.1,
    grey=0.1,
    blur=0.0,
    turns=True,
)
CLASSES = 4


def network(*, norm: bool = False) -> ImageNetwork:
    """Two convolutions; ``norm``: with batch norm."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, stride=2), *([nn.BatchNorm2d(6)] if norm else []), nn.ReLU(), nn.Conv2d(6, 8, 3)]
    body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return ImageNetwork({"model": "tiny", "px": 8, "mean": [0.5] * 3, "sd": [0.25] * 3}, body)


def images(n: int = 44, *, classes: int = 3) -> tuple[LabelledImages, LabelledImages]:
    """Training and validation rows whose brightness of a channel says the class, in a set of n."""
    label = torch.arange(n) % classes
    pixels = torch.randint(0, 120, (n, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    pixels[torch.arange(n), :, :, label % 3] += 60
    rows = torch.randperm(n, generator=torch.Generator().manual_seed(2))
    train, val = rows[: 2 * n // 3], rows[2 * n // 3 :]
    return LabelledImages(pixels, train, label[train], CLASSES), LabelledImages(pixels, val, label[val], CLASSES)


def train(
    *, net: ImageNetwork | None = None, sets: tuple[LabelledImages, LabelledImages] | None = None, seed: int = 0, **others
) -> tuple[Classifier, Curve]:
    """With the settings among ``others`` changed, and the rest of them as keywords."""
    changes = {key: others.pop(key) for key in list(others) if key in Full.model_fields}
    net, (labelled, val) = net or network(), sets or images()
    with torch.no_grad():
        standardise = Standardise(net.dim).fit(net.eval()(labelled.pixels[labelled.rows]))
    settings, start = SETTINGS.model_copy(update=changes), others.pop("start", standardise)
    return finetune_network(net, labelled, val, settings, start=start, run=Run(seed, others.pop("device", CPU), **others))


class Stopping(ImageNetwork):
    """Stops the process that trains it once it, and its copies, have been asked ``left`` times."""

    left = -1

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        Stopping.left -= 1
        if Stopping.left == 0:
            raise KeyboardInterrupt
        return super().features(pixels)


def stopping(net: ImageNetwork, after: int) -> ImageNetwork:
    """The network itself, with that habit."""
    net.__class__, Stopping.left = Stopping, after
    return net


def train_together(folder: Path, processes: Processes = ALONE, device: torch.device = CPU) -> None:
    """Stop within the second epoch of three, continue, write the classifier; then the second process raises."""
    loop.SNAPSHOT_SECONDS = -1.0
    others = {"processes": processes, "device": device, "resume": Resume(folder), "accumulation": 2}
    try:
        train(net=stopping(network(), after=11), **others)
    except KeyboardInterrupt:
        (folder / f"stopped-{processes.rank}").touch()
    model, curve = train(**others)
    if processes.first:
        save_model(folder / "model", model, {"curve": curve})
    elif processes.rank == 1:
        raise ValueError("the second\nhas had enough")
    processes.mean(torch.zeros(1))  # the first waits for an answer that never comes
