"""What a shell offers after the tab key: names of classes and folders of models, from the files alone."""

import json
from pathlib import Path
from typing import Any

MODELS = ("artifacts/finetune_loc/seed_*/label_*", "artifacts/pretrain/seed_*", "artifacts/imported/*")


def class_names(ctx: Any, incomplete: str) -> list[str]:
    """Classes of the run that --model names, or of the folder that the shell is in.

    ``ctx`` is Typer's, which gives it to a parameter of that name.
    """
    folder = Path(ctx.params.get("model") or ".").absolute()
    for one in (folder / "artifacts", folder, *folder.parents[:3]):
        try:
            names = json.loads((one / "download" / "classes.json").read_text())
        except (OSError, ValueError):
            continue
        return [name for name in names if name.startswith(incomplete)]
    return []


def model_folders(incomplete: str) -> list[str]:
    """Models below the folder that the shell is in, or below the project that is begun to be named."""
    begun = incomplete.rpartition("/artifacts")[0]
    roots = {"": Path()} | ({f"{begun}/": Path(begun)} if begun else {})
    found = [
        f"{before}{folder.relative_to(root).as_posix()}"
        for before, root in roots.items()
        for kind in MODELS
        for folder in root.glob(kind)
    ]
    return sorted(one for one in found if one.startswith(incomplete))
