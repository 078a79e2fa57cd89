"""Fine-tuning of the whole image network with a classifier on top, g(F(I)), on few labels (paper, appendix A.2.1).

So the paper does on iNat2018; it gives no settings.
"""

import logging
import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from cspops.errors import CspopsError, DataError
from cspops.models.backbones import ImageNetwork, training_autocast
from cspops.models.heads import ImageHead, LinearProbe, Standardise
from cspops.params.image_networks import Full
from cspops.pixels.views import Augmentation, Views
from cspops.ranks import Processes
from cspops.seeds import global_torch_stream
from cspops.shapes import Float, Int, Tensor, UInt8
from cspops.training.kept_weights import KeptWeights
from cspops.training.loop import Curve, Run, Schedule, Training, run_epochs

log = logging.getLogger(__name__)


def rate_groups(network: ImageNetwork, head: nn.Module, *, layer_decay: float, weight_decay: float) -> list[dict[str, Any]]:
    """Return parameter groups whose `share` of the learning rate is layer_decay^depth: depth 0 is the head, 1 the last layer.

    Layers are those of timm; where a network names none, as torchvision's, each twelve parameters from the input on.
    Vectors (biases, the scales of norms) have no weight decay.
    """
    from timm.optim import param_groups_layer_decay, param_groups_weight_decay

    groups = param_groups_layer_decay(network.network, weight_decay, layer_decay=layer_decay)
    return [
        *({**group, "share": group["lr_scale"] * layer_decay} for group in groups),
        *param_groups_weight_decay(head, weight_decay),
    ]


BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)

BLOCK = 256
"""Images per batch where nothing is learned."""


@dataclass(frozen=True)
class LabelledImages:
    """Rows of a set of images, and their classes."""

    pixels: UInt8[Tensor, "m h w 3"]
    """Of the whole set: in memory, on a device, or in a memory-mapped file."""
    rows: Int[Tensor, "n"]
    label: Int[Tensor, "n"]
    classes: int
    """Their number, those without a row here included; labels lie below it."""


class Classifier(nn.Module):
    """g(F(I)): pixels in [0, 1] to the scores of classes. F computes under `training_autocast`, g in float32.

    Args:
        frozen_statistics: whether batch norm keeps the statistics of pre-training while the rest is trained.
    """

    def __init__(self, network: ImageNetwork, head: ImageHead, *, frozen_statistics: bool = False) -> None:
        super().__init__()
        self.network, self.head, self.frozen_statistics = network, head, frozen_statistics

    def train(self, mode: bool = True) -> "Classifier":
        """Switch to training mode, but for batch norm with frozen statistics."""
        super().train(mode)
        if self.frozen_statistics:
            for module in self.network.modules():
                if isinstance(module, BATCH_NORMS):
                    module.eval()
        return self

    def forward(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n q"]:
        out: Tensor = self.head(self.features(pixels))
        return out

    def features(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n k"]:
        """Return F(I) in float32."""
        with training_autocast(pixels.device):
            features = self.network.features(pixels)
        return features.float()


def finetune_network(
    network: ImageNetwork,
    labelled: LabelledImages,
    val: LabelledImages,
    settings: Full,
    *,
    start: LinearProbe | Standardise,
    name: str = "finetune-img",
    run: Run,
) -> tuple[Classifier, Curve]:
    """Train ``network`` in place with a head, and keep the weights of the least validation NLL, those of a probe included.

    The head has a score for each class with a label; validation rows of other classes count as the uniform guess.

    Args:
        labelled: the few-shot subset.
        start: how the head standardises features, fitted to F*(I) of the labelled rows; or a probe of F*(I) as which a
            linear head starts (Kumar et al. 2022): an untrained head would damage the features before it has
            learned to use them.
        name: of the snapshot, of the random streams and in messages.

    Returns:
        the classifier of all classes, in eval mode on the CPU, and one row per epoch: `total`, `val_nll`, `val_top1`.

    Raises:
        DataError: fewer than two labelled rows.
    """
    if len(labelled.rows) < 2:
        raise DataError(
            "one labelled image is too few to fine-tune a network on", hint="set finetune_img.mode: linear_probe in params.yaml"
        )
    device, processes = run.device, run.processes
    present = labelled.label.unique()
    label = torch.searchsorted(present, labelled.label).to(device)
    with global_torch_stream(run.seed, name, "head"):
        head = ImageHead(network.dim, len(present), hidden=settings.hidden if settings.head == "mlp" else 0)
    probe = start if isinstance(start, LinearProbe) else None
    standardise = start if isinstance(start, Standardise) else start.standardise
    head.standardise.load_state_dict(standardise.state_dict())
    if probe is not None and settings.head == "linear":
        head.linear.load_state_dict({key: value[present] for key, value in probe.linear.state_dict().items()})
    frozen = settings.batch_norm == "frozen"
    network = network if frozen else with_common_statistics(network, device, processes)
    model = Classifier(network, head, frozen_statistics=frozen).to(device)
    kept = KeptWeights(model, decay=settings.ema).to(device)
    groups = rate_groups(network, head, layer_decay=settings.layer_decay, weight_decay=settings.weight_decay)
    images = Views(labelled.pixels, device, Augmentation.of(settings))
    validate = _Validation(val, present, device, processes)

    if probe is not None:
        scores = validate(model)
        kept.keep_start(model, scores["val_nll"])
        log.info(f"{name}: before, val NLL {scores['val_nll']:.3f}, top-1 {scores['val_top1']:.2f}")

    def loss(rows: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        mine = processes.share(len(rows))
        view = images(labelled.rows.to(rows.device)[rows], draws, mine)
        value = cross_entropy(model(view), label[rows[mine]], label_smoothing=settings.label_smoothing)
        return processes.weighted({"total": value}, len(rows))

    def after_epoch() -> dict[str, float]:
        processes.agree(kept.candidate(model))
        scores = validate(kept.candidate(model))
        kept.keep_best(model, scores["val_nll"])
        model.train()
        return scores

    schedule = Schedule(
        len(labelled.rows),
        settings.epochs,
        settings.batch_size,
        settings.learning_rate,
        accumulation=settings.accumulation,
    )
    curve = run_epochs(
        Training(
            name,
            {"model": model, "kept": kept},
            torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True),
            loss,
            after_step=lambda: kept.follow(model),
            after_epoch=after_epoch,
            is_over=lambda: kept.is_over(settings.patience),
        ),
        replace(schedule, warm_up=round(settings.warm_up * settings.epochs * schedule.batches)),
        run,
    )
    model.load_state_dict(kept.best.state_dict())
    cpu = torch.device("cpu")
    return Classifier(network.to(cpu), head.to(cpu).among(present, labelled.classes)).eval(), curve


def with_common_statistics(network: ImageNetwork, device: torch.device, processes: Processes) -> ImageNetwork:
    """Let batch norm (in place) take the statistics of a batch over all processes.

    Torch has no such layer for CPUs: there each process takes those of its share, and the first one's are kept.
    """
    if processes.size > 1 and device.type == "cuda":
        from timm.layers import convert_sync_batchnorm

        network.network = convert_sync_batchnorm(network.network)
    return network


def image_features(
    model: Classifier, pixels: UInt8[Tensor, "m h w 3"], rows: Int[Tensor, "n"], device: torch.device
) -> Float[Tensor, "n k"]:
    """Return F(I) of some rows in float16, on the CPU.

    Raises:
        CspopsError: a feature is outside the range of float16.
    """
    model = model.to(device)
    plain = Views(pixels, device)
    with torch.inference_mode():
        parts = [model.features(plain.plain(some)).half().cpu() for some in rows.split(BLOCK)]
    features = torch.cat(parts) if parts else torch.empty(0, model.network.dim, dtype=torch.float16)
    model.to("cpu")
    if not features.isfinite().all():
        raise CspopsError(
            "the fine-tuned network's features are outside the range of float16",
            hint="set a smaller finetune_img.modes.full.learning_rate in params.yaml",
        )
    return features


class _Validation:
    """The mean NLL and the top-1 accuracy on the validation rows, each process judging its share of them."""

    def __init__(self, val: LabelledImages, present: Int[Tensor, "c"], device: torch.device, processes: Processes) -> None:
        self.val, self.processes, self.guess = val, processes, math.log(val.classes)
        self.plain = Views(val.pixels, device)
        self.known = torch.isin(val.label, present).to(device)
        self.label = torch.searchsorted(present, val.label).clamp(max=len(present) - 1).to(device)

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> dict[str, float]:
        """Return `val_nll` and `val_top1`, the latter in per cent; the model is left in eval mode."""
        model.eval()
        mine = self.processes.share(len(self.val.rows))
        numbers = torch.arange(mine.start, mine.stop)
        sums = torch.zeros(2, dtype=torch.float64, device=self.label.device)
        for some in numbers.split(BLOCK):
            scores = model(self.plain.plain(self.val.rows[some])).double()
            label, known = self.label[some], self.known[some]
            own = scores.log_softmax(1).gather(1, label[:, None])[:, 0]
            sums[0] -= torch.where(known, own, -self.guess).sum()
            sums[1] += ((scores.argmax(1) == label) & known).sum()
        means = self.processes.mean(sums * (self.processes.weight(len(self.val.rows)) / max(1, len(numbers))))
        nll, top1 = (float(mean) for mean in means)
        return {"val_nll": nll, "val_top1": 100 * top1}
