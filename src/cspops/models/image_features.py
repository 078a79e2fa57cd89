"""Compute F*(I) of batches of pixels; on a GPU a batch is computed while the next is decoded."""

from collections import deque
from collections.abc import Iterable, Iterator

import torch

from cspops.models.backbones import ImageNetwork, autocast
from cspops.shapes import Float, Tensor, UInt8


def image_features(
    network: ImageNetwork, batches: Iterable[UInt8[Tensor, "n h w 3"]], *, device: torch.device
) -> Iterator[Float[Tensor, "n k"]]:
    """Yield float16 features of each batch, on the CPU.

    Args:
        network: on ``device``, in eval mode.
        batches: on the CPU; on a GPU a batch is taken before the features of its predecessor are yielded.
        device: where the network is.
    """
    behind: deque[tuple[Tensor, torch.cuda.Event | None]] = deque()
    ahead = 1 if device.type == "cuda" else 0
    for pixels in batches:
        behind.append(_begun(network, pixels, device))
        if len(behind) > ahead:
            yield _ended(*behind.popleft())
    while behind:
        yield _ended(*behind.popleft())


def on_device(pixels: UInt8[Tensor, "n h w 3"], device: torch.device) -> UInt8[Tensor, "n h w 3"]:
    """Move a batch to the network: as bytes, which are fewer than floats, and to a GPU from pinned memory without waiting."""
    if device.type != "cuda":
        return pixels.to(device)
    return pixels.pin_memory().to(device, non_blocking=True)


@torch.inference_mode()
def features_of(network: ImageNetwork, pixels: UInt8[Tensor, "n h w 3"], device: torch.device) -> Float[Tensor, "n k"]:
    """Return float16 features on the device, computed in `half_precision` where there is one."""
    with autocast(device):
        features: Tensor = network(pixels)
    return features.float().half()


def _begun(network: ImageNetwork, pixels: Tensor, device: torch.device) -> tuple[Tensor, torch.cuda.Event | None]:
    """Return features on the CPU, or from a GPU memory for them and the event after which they are there."""
    features = features_of(network, on_device(pixels, device), device)
    if device.type != "cuda":
        return features.cpu(), None
    return features.to("cpu", non_blocking=True), torch.cuda.current_stream(device).record_event()


def _ended(features: Tensor, event: torch.cuda.Event | None) -> Tensor:
    if event is not None:
        event.synchronize()
    return features
