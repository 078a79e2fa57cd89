"""A location encoder from its folder, ready to embed places.

>>> from cspops.models.loading import load_location_encoder
>>> encoder = load_location_encoder(Path("artifacts/pretrain/seed_0"))  # doctest: +SKIP
>>> encoder(torch.tensor([[8.5, 47.4]])).shape  # longitude first  # doctest: +SKIP
torch.Size([1, 256])
"""

from pathlib import Path

from cspops.errors import DataError
from cspops.models.checkpoint import load_config, load_weights
from cspops.models.location_encoder import LocationEncoder
from cspops.seeds import global_torch_stream


def load_location_encoder(folder: Path | str) -> LocationEncoder:
    """The encoder in ``folder`` (config.json and model.safetensors), in eval mode, on the CPU.

    It is a folder that `pretrain` wrote for a seed, or `encoder/` of an imported checkpoint.

    Raises:
        DataError: the folder holds no location encoder.
    """
    folder = Path(folder)
    remake = "name artifacts/pretrain/seed_0, say, or encoder/ in a folder that cspops import-checkpoint wrote"
    config = load_config(folder, remake=remake)
    try:
        with global_torch_stream(0, "loading"):  # initial weights, all replaced below
            encoder = LocationEncoder(config)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DataError(f"{folder / 'config.json'} describes no location encoder", hint=remake) from None
    load_weights(folder, encoder, remake=remake)
    return encoder.eval()
