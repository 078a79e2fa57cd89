"""What each method's tests ask: a run that is stopped and continued, and the same numbers for the same seed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from told import told

from cspops.training.resume import Resume


def stopped_and_continued(run: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch, *, at: str | int) -> str:
    """Check that a stopped run ends with the very weights and curve of a whole one.

    Args:
        run: trains from the start, or from what `Resume` holds: a network and its curve, or what has one.
        folder: for the snapshots.
        at: where it is stopped: at the line of progress that holds this text, or after so many snapshots.

    Returns:
        the first line of progress of the run that continues.
    """
    whole, made = run()
    saves, save = [], Resume.save

    def counted(self: Resume, *given: Any) -> None:
        save(self, *given)
        saves.append(1)
        if len(saves) == at:
            raise KeyboardInterrupt

    def breaks(line: str) -> None:
        if isinstance(at, str) and at in line:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Resume, "save", counted)
        with pytest.raises(KeyboardInterrupt), told(breaks):
            run(resume=Resume(folder))
    lines: list[str] = []
    with told(lines.append):
        network, its = run(resume=Resume(folder))
    assert getattr(its, "curve", its) == getattr(made, "curve", made)
    for (key, mine), theirs in zip(network.state_dict().items(), whole.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), key
    return lines[0]


def same_numbers_for_the_same_seed(run: Callable[..., Any]) -> None:
    """Check that one epoch depends on its seed, and not on the global stream."""
    torch.manual_seed(1)
    one, made = run(epochs=1)
    torch.manual_seed(2)
    other, its = run(epochs=1)
    assert made == its
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    again = run(epochs=1, seed=1)[1]
    assert getattr(again, "curve", again) != getattr(made, "curve", made)
