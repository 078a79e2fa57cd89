"""GeoKR (Li et al. 2021): an image network learns the land cover around its images, and to agree with a slow teacher."""

import torch
from torch import nn

from cspops.errors import DataError
from cspops.imagessl.images import Facts, Features, Pretrained, UnlabelledImages
from cspops.imagessl.land_cover import LandCover
from cspops.imagessl.momentum import follow, momentum_copy
from cspops.imagessl.monitor import train_watched
from cspops.losses.image import land_cover_loss
from cspops.models.backbones import ImageNetwork
from cspops.params.image_networks import Geokr
from cspops.pixels.views import Augmentation, Views
from cspops.seeds import global_torch_stream
from cspops.shapes import Float, Tensor
from cspops.training.loop import Run, Training


class StudentAndTeacher(nn.Module):
    """Two networks of one architecture and one start, with heads that start differently; the teacher follows the student."""

    def __init__(self, network: ImageNetwork, classes: int, settings: Geokr, *, seed: int) -> None:
        super().__init__()
        self.settings = settings
        with global_torch_stream(seed, "geokr head"):
            self.student = nn.Sequential(Features(network), nn.Linear(network.dim, classes))
            start = nn.Sequential(Features(network), nn.Linear(network.dim, classes))
        self.teacher = momentum_copy(start)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.steps: Tensor

    def loss(self, pixels: Float[Tensor, "n 3 h w"], share: Float[Tensor, "n c"]) -> dict[str, Tensor]:
        """Return `land_cover_loss` of a batch; the teacher is in train mode, but no gradient reaches it."""
        with torch.no_grad():
            teacher = self.teacher(pixels)
        return land_cover_loss(self.student(pixels), teacher, share, reduction=self.settings.reduction)

    def after_step(self) -> None:
        """Move the teacher after the first step, and then after every `teacher_update_every` steps."""
        if int(self.steps) % self.settings.teacher_update_every == 0:
            follow(self.teacher, self.student, self.settings.momentum)
        self.steps += 1


def geokr(
    network: ImageNetwork,
    images: UnlabelledImages,
    settings: Geokr,
    run: Run,
    *,
    land_cover: LandCover,
) -> Pretrained:
    """Train ``network``, the student, in place; heads and teacher are dropped afterwards.

    Args:
        land_cover: of the training images; images without it are left out.

    Note: in the paper the learning rate falls by a tenth per epoch, here along half a cosine; there the teacher follows at
    steps 1, 1001, 21001, 41001, 61001 and then every 61,000 of some 1.8 million. Of several processes each normalises its own
    rows, and the running statistics of batch norm are the first one's.

    Raises:
        DataError: fewer than two images with land cover.
    """
    covered = land_cover.rows
    if len(covered) < 2:
        raise DataError(
            f"{len(covered)} of {len(images)} training images has land cover around it: GeoKR needs at least two",
            hint="set pretrain_img.method: none in params.yaml, or give a raster of the region of the images",
        )
    device = run.device
    network = network.to(device)
    both = StudentAndTeacher(network, len(land_cover.codes), settings, seed=run.seed).to(device)
    view = Views(images.pixels, device, Augmentation(colour_jitter=settings.colour_jitter, turns=settings.turns))
    share, covered_rows = land_cover.share.to(device), covered.to(device)

    def step(rows: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        mine = run.processes.share(len(rows))
        return run.processes.weighted(both.loss(view(covered_rows[rows], draws, mine), share[rows[mine]]), len(rows))

    facts: Facts = {"classes": len(land_cover.codes), "without_land_cover": land_cover.left_out, "note": land_cover.note}
    training = Training(
        "geokr",
        {"both": both},
        torch.optim.Adam(both.student.parameters(), lr=settings.learning_rate, fused=True),
        step,
        after_step=both.after_step,
    )
    return train_watched(network, images, training, settings, run, facts, rows=len(covered))
