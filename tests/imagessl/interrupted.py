"""A pre-training that is stopped and continued, beside one that was not: what each method's tests ask."""

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
