"""Refuse tensors whose shape does not fit, in one sentence."""

import math

from cspops.shapes import Float, Tensor


def require_shape(name: str, tensor: Tensor, *sizes: int | str) -> None:
    """Raise a ValueError unless ``tensor`` has these sizes; a letter stands for any size."""
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{name} is a {type(tensor).__name__}, not a tensor of torch")
    fits = tensor.ndim == len(sizes) and all(
        isinstance(wanted, str) or size == wanted for size, wanted in zip(tensor.shape, sizes, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} has shape {shown(tensor)}, not ({', '.join(map(str, sizes))})")


def grid_of(tokens: Float[Tensor, "*tokens"], dim: int) -> int:
    """Return the side g of a square grid of tokens (n, g*g, dim); raise a ValueError where the shape is another."""
    require_shape("tokens", tokens, "n", "g*g", dim)
    side = math.isqrt(tokens.shape[1])
    if side == 0 or side * side != tokens.shape[1]:
        raise ValueError(f"tokens has shape {shown(tokens)}: {tokens.shape[1]} tokens are no square grid")
    return side


def shown(tensor: Tensor) -> str:
    """Return a shape as text, as (2, 3)."""
    return f"({', '.join(map(str, tensor.shape))}{',' if tensor.ndim == 1 else ''})"
