"""GeoKR (Li et al. 2021): an image network learns the land cover around its images, and to agree with a slow teacher."""

from dataclasses import dataclass

import torch
from torch import nn

from cspops.errors import DataError
from cspops.imagessl.images import Facts, Features, Pretrained, UnlabelledImages, Views
from cspops.imagessl.land_cover import LandCover
from cspops.imagessl.momentum import follow, momentum_copy
from cspops.imagessl.watched import train_watched
from cspops.losses.image import Reduction, land_cover_loss
from cspops.models.backbones import ImageNetwork
from cspops.seeds import global_torch_stream
from cspops.shapes import Float, Tensor
from cspops.training.resume import Resume


@dataclass(frozen=True)
class GeokrSettings:
    """Hyper-parameters; see params.yaml."""

    epochs: int
    batch_size: int
    learning_rate: float
    reduction: Reduction
    momentum: float
    teacher_update_every: int
    raster: str
    side_km: float
    colour_jitter: float
    turns: bool


class StudentAndTeacher(nn.Module):
    """Two networks of one architecture and one start, with heads that start differently; the teacher follows the student."""

    def __init__(self, network: ImageNetwork, classes: int, settings: GeokrSettings, *, seed: int) -> None:
        super().__init__()
        self.settings = settings
        with global_torch_stream(seed, "geokr head"):
            self.student = nn.Sequential(Features(network), nn.Linear(network.dim, classes))
            mine = nn.Sequential(Features(network), nn.Linear(network.dim, classes))
        self.teacher = momentum_copy(mine)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.steps: Tensor

    def loss(self, pixels: Float[Tensor, "n 3 h w"], share: Float[Tensor, "n c"]) -> dict[str, Tensor]:
        """`land_cover_loss` of a batch; the teacher is in train mode, but no gradient reaches it."""
        with torch.no_grad():
            teacher = self.teacher(pixels)
        return land_cover_loss(self.student(pixels), teacher, share, reduction=self.settings.reduction)

    def after_step(self) -> None:
        """The teacher follows after the first step, and then after every `teacher_update_every` ones."""
        if int(self.steps) % self.settings.teacher_update_every == 0:
            follow(self.teacher, self.student, self.settings.momentum)
        self.steps += 1


def geokr(
    network: ImageNetwork,
    images: UnlabelledImages,
    settings: GeokrSettings,
    *,
    seed: int,
    device: torch.device,
    land_cover: LandCover,
    resume: Resume | None = None,
) -> Pretrained:
    """Train ``network``, the student, in place; heads and teacher are dropped afterwards.

    Args:
        land_cover: of the training images; those without are not trained on.

    Note: published is a learning rate that falls by a tenth an epoch, here half a cosine; and a teacher that follows at steps
    1, 1001, 21001, 41001, 61001 and then every 61,000 of some 1.8 million.

    Raises:
        DataError: fewer than two images with land cover.
    """
    rows_of = land_cover.rows
    if len(rows_of) < 2:
        raise DataError(
            f"{len(rows_of)} of {len(images)} training images has land cover around it: GeoKR needs two at least",
            hint="pretrain_img.method: none in params.yaml, or a raster of the region of the images",
        )
    network = network.to(device)
    both = StudentAndTeacher(network, len(land_cover.codes), settings, seed=seed).to(device)
    view = Views(images.pixels, device, min_scale=1.0, colour_jitter=settings.colour_jitter, turns=settings.turns)
    share, rows_on = land_cover.share.to(device), rows_of.to(device)

    def step(rows: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        return both.loss(view(rows_on[rows], draws), share[rows])

    facts: Facts = {"classes": len(land_cover.codes), "without_land_cover": land_cover.left_out, "note": land_cover.note}
    return train_watched(
        "geokr",
        network,
        images,
        step,
        rows=len(rows_of),
        modules={"both": both},
        optimizer=torch.optim.Adam(both.student.parameters(), lr=settings.learning_rate, fused=True),
        after_step=both.after_step,
        settings=settings,
        facts=facts,
        seed=seed,
        device=device,
        resume=resume,
    )
