"""Checkpoints of the released CSP code, of its sisters (Sphere2Vec, TorchSpatial) and of its peers, in this project's modules.

`reading` opens the file without running anything that it holds, `kinds` is the table of encoders, `rebuilding` makes modules
that give the same output; `peers` does all three for SINR, SatCLIP and GeoCLIP.
"""

from cspops.models.released.kinds import KINDS
from cspops.models.released.peers import read_peer, rebuild_peer
from cspops.models.released.reading import Checkpoint, read_checkpoint
from cspops.models.released.rebuilding import Released, rebuild

SOURCE = "source.json"
"""The file on the checkpoint's origin, which `cspops import-checkpoint` writes beside the models."""

__all__ = ["KINDS", "SOURCE", "Checkpoint", "Released", "read_checkpoint", "read_peer", "rebuild", "rebuild_peer"]
