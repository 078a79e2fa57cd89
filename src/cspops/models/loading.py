"""Location encoders and classifiers, and image classifiers, from their folders, ready to use.

>>> from cspops.models.loading import load_location_encoder
>>> encoder = load_location_encoder(Path("artifacts/pretrain/seed_0"))  # doctest: +SKIP
>>> encoder(torch.tensor([[8.5, 47.4]])).shape  # longitude first  # doctest: +SKIP
torch.Size([1, 256])
"""

from pathlib import Path

from cspops.errors import DataError
from cspops.models.checkpoint import load_config, load_weights
from cspops.models.heads import IMAGE_HEAD, ClassEmbedding, ImageHead, LinearProbe
from cspops.models.location_encoder import LocationClassifier, LocationEncoder
from cspops.seeds import global_torch_stream

ENCODERS = "name artifacts/pretrain/seed_0, say, or encoder/ in a folder that cspops import-checkpoint wrote"
CLASSIFIERS = "dvc repro finetune-loc, or name classifier/ in a folder that cspops import-checkpoint wrote"


def load_location_encoder(folder: Path | str, *, remake: str = ENCODERS) -> LocationEncoder:
    """The encoder in ``folder`` (config.json and model.safetensors), in eval mode, on the CPU.

    It is a folder that `pretrain` wrote for a seed, or `encoder/` of an imported checkpoint.

    Args:
        remake: what the user is told to do when it is not there or broken.

    Raises:
        DataError: the folder holds no location encoder.
    """
    folder = Path(folder)
    config = load_config(folder, remake=remake)
    try:
        with global_torch_stream(0, "loading"):  # initial weights, all replaced below
            encoder = LocationEncoder(config)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DataError(f"{folder / 'config.json'} describes no location encoder", hint=remake) from None
    load_weights(folder, encoder, remake=remake)
    return encoder.eval()


def load_location_classifier(folder: Path | str, *, remake: str = CLASSIFIERS) -> LocationClassifier:
    """The location encoder with class embeddings in ``folder``, in eval mode, on the CPU.

    It is a folder that `finetune-loc` wrote for a seed and label ratio, or `classifier/` of an imported checkpoint.

    Raises:
        DataError: the folder holds no location classifier.
    """
    folder = Path(folder)
    config = load_config(folder, remake=remake)
    try:
        with global_torch_stream(0, "loading"):
            encoder = LocationEncoder(config["encoder"])
            class_embedding = ClassEmbedding(encoder.dim, config["classes"])
        classifier = LocationClassifier(encoder, class_embedding, link=config.get("link", "sigmoid"))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DataError(f"{folder / 'config.json'} describes no location classifier", hint=remake) from None
    load_weights(folder, classifier, remake=remake)
    return classifier.eval()


def load_image_classifier(folder: Path | str, *, remake: str = "dvc repro finetune-img") -> LinearProbe | ImageHead:
    """The classifier g in ``folder``, in eval mode, on the CPU: on frozen features, or on those of a fine-tuned network.

    It is a folder that `finetune-img` wrote for a seed and label ratio.

    Raises:
        DataError: the folder holds no image classifier.
    """
    folder = Path(folder)
    config = load_config(folder, remake=remake)
    about = {key: value for key, value in config.items() if key != "kind"}
    try:
        classifier = ImageHead(**about) if config.get("kind") == IMAGE_HEAD else LinearProbe(**about)
    except (TypeError, ValueError):
        raise DataError(f"{folder / 'config.json'} describes no image classifier", hint=remake) from None
    load_weights(folder, classifier, remake=remake)
    return classifier.eval()
