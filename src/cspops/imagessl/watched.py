"""Training that is watched by the monitor, as every method is."""

from dataclasses import replace

from cspops.imagessl.images import Facts, Pretrained, UnlabelledImages
from cspops.imagessl.monitor import NeighbourDistance
from cspops.models.backbones import ImageNetwork
from cspops.training.loop import Run, Schedule, Training, run_epochs


def train_watched(
    network: ImageNetwork, images: UnlabelledImages, training: Training, schedule: Schedule, run: Run, facts: Facts
) -> Pretrained:
    """`loop.run_epochs`, the monitor's answer a column of the curve and among the ``facts``.

    Args:
        network: what is watched, on the device of the run; in eval mode afterwards.
        images: what the monitor looks at.
        training: whose loss is of row numbers below those of the schedule.
        facts: about the run.
    """
    monitor = NeighbourDistance.of(network, images, seed=run.seed)
    before = monitor()
    curve = run_epochs(replace(training, after_epoch=monitor), schedule, run)
    network.eval()
    return Pretrained(curve, facts | monitor.facts(before))
