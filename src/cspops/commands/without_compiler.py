"""Load timm and torchvision without torch's compiler, which no command that only predicts needs.

timm asks torch.compiler to leave some functions of one network uncompiled, torchvision asks what device can be compiled for;
either loads torch._dynamo, sympy and some thousand modules, a third of the CPU time of `cspops predict` for one image.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

NAMES = ("torch._dynamo", "torch._dynamo.utils")


def _as_it_is(fn: Any = None, *_: Any, **__: Any) -> Any:
    return (lambda fn: fn) if fn is None else fn


ANSWERS: dict[str, Callable[..., Any]] = {
    "disable": _as_it_is,
    "is_compile_supported": lambda device: _true(NAMES[-1]).is_compile_supported(device),
}
"""What the two functions that they import do meanwhile."""


class _StandIn(ModuleType):
    """Has `ANSWERS`, and turns into the true module for any other name."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return ANSWERS[name] if name in ANSWERS else getattr(_true(self.__name__), name)


def _true(name: str) -> ModuleType:
    _remove_stand_ins()
    return import_module(name)


def _remove_stand_ins() -> None:
    for name in NAMES:
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]


@contextmanager
def without_compiler() -> Iterator[None]:
    """Keep torch._dynamo from being loaded within the block by what only imports it; whoever uses it loads it."""
    if not any(name in sys.modules for name in NAMES):
        sys.modules.update({name: _StandIn(name) for name in NAMES})
    try:
        yield
    finally:
        _remove_stand_ins()
