"""How image and location are put together; without torch, as the command line names it before it loads anything."""

from typing import Literal, get_args

PlaceCombine = Literal["pool", "location"]
"""What there is of a place alone."""
Combine = Literal["pool", "product", "image", "location"]
"""The last two are one of them alone."""
COMBINE: tuple[Combine, ...] = get_args(Combine)
