"""Axis letters and the types that function borders are annotated with.

| letter | axis                         |
|--------|------------------------------|
| n      | batch, or observations       |
| c      | negative locations per image |
| d      | embedding                    |
| k      | image features               |
| q      | classes                      |
| s      | scales of an encoding        |

The annotations are checked at run time in the tests only (jaxtyping with beartype).
"""

from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

LonLat = Float[Tensor, "*batch 2"]
"""Positions in degrees, longitude first, WGS84."""

__all__ = ["Bool", "Float", "Int", "LonLat", "Tensor", "UInt8"]
