"""Small settings, rows and networks for GAIR."""

import torch

from cspops.gair.pretraining import Places
from cspops.params.image_networks import Gair

LOCATION = {
    "encoding": {"name": "wrap"},
    "network": {"name": "ffn"},
    "dim": 8,
    "encodings": {"wrap": {}},
    "networks": {
        "ffn": {
            "hidden_layers": 1,
            "hidden": 16,
            "activation": "gelu",
            "dropout": 0.1,
            "layer_norm": True,
            "output_activation": False,
        }
    },
}


def settings(**changes) -> Gair:
    defaults = {
        "features": "photo",
        "overhead": {"model": "timm:test_resnet", "weights": "random", "px": 32, "stride": 4},
        "decoder": "linear",
        "location_encoder": LOCATION,
        "terms": ("overhead_to_photo", "photo_to_overhead", "photo_to_place", "overhead_to_place"),
        "temperature": 0.07,
        "learn_temperature": False,
        "queue": 16,
        "queue_start": "training",
        "distillation": 0.0,
        "epochs": 3,
        "batch_size": 16,
        "learning_rate": 0.01,
        "weight_decay": 0.05,
        "warm_up": 0.1,
        "min_scale": 1.0,
        "colour_jitter": 0.1,
    }
    return Gair(**defaults | changes)


def places(n: int = 32, *, photos: bool = True) -> Places:
    """Photos that are the quarter of the overhead image in which the place lies."""
    draws = torch.Generator().manual_seed(0)
    quarters = torch.randint(256, (n, 2, 2, 3), dtype=torch.uint8, generator=draws)
    corner = torch.randint(2, (n, 2), generator=draws)  # column, row
    bbox = torch.tensor([[10.0, 40.0, 14.0, 44.0]], dtype=torch.float64).repeat(n, 1)
    lonlat = torch.stack((11.0 + 2 * corner[:, 0], 43.0 - 2 * corner[:, 1]), 1).double()
    lonlat += torch.rand(n, 2, generator=draws, dtype=torch.float64) - 0.5
    mine = quarters[torch.arange(n), corner[:, 1], corner[:, 0]]
    overhead = quarters.repeat_interleave(16, 1).repeat_interleave(16, 2)
    return Places(mine[:, None, None].expand(-1, 32, 32, -1).contiguous() if photos else None, overhead, bbox, lonlat)
