"""iNaturalist 2018 (visipedia/inat_comp, 8142 species): the published files, or the features that CSP's authors distribute.

`val2018` is what the paper reports on, so it is the role `test`; the split stage takes a validation part out of
`train2018`. An obs_id is `train2018/ID`.
"""

from pathlib import Path

from cspops.intake.rows import FileFacts, Source, file_facts
from cspops.intake.sources import coco
from cspops.intake.sources.coco import Part, find
from cspops.intake.sources.released import list_released
from cspops.params.sections import Inat2018
from cspops.pixels.reading import Reading

ROLES = {"train": "train", "val": "test"}
IMAGES = "train_val2018"

FEATURES = "features_inception_pretrain/inat2018_{split}_pretrain_net_feats.npy"
"""InceptionV3 of ImageNet, 2048 wide."""

TUNED_FEATURES = "features_inception/inat2018_{split}_net_feats.npy"
"""geo_prior's, of a network that was fine-tuned on all labels of iNaturalist 2018."""


def open_inat2018(root: Path, settings: Inat2018) -> Source:
    """Open the set, its rows still to be read; DataError names the first file that is missing.

    Args:
        root: `CSPOPS_DATA_ROOT/inat2018`; files may lie below it or in one of its folders.
        settings: with `form` `images`, train_val2018/ and the published json files; with `features`, a matrix with a row for
            each image in their place, as it is, and released predictions where there are any: these are checked when they
            are read, whatever `inspection` says.
    """
    remarks: list[str] = []
    files: dict[str, FileFacts] = {}
    names = ("categories.json", "categories2018.json")
    listed = find(root, *(names if settings.form == "images" else reversed(names)))
    matrices: dict[str, Path | None] = dict.fromkeys(ROLES)
    folder, predictions = "inat2018", None
    categories = coco.read_categories(listed, remarks)
    files[listed.relative_to(root).as_posix()] = file_facts(listed)
    if settings.form == "images":
        below = find(root, IMAGES, folder=True).parent.relative_to(root)
        folder = (Path(folder) / below).as_posix()
    else:
        features = {split: find(root, *(name.format(split=split) for name in (FEATURES, TUNED_FEATURES))) for split in ROLES}
        coco.check_matrices(list(features.values()))
        if any(matrix.match(TUNED_FEATURES.format(split=split)) for split, matrix in features.items()):
            remarks.append(
                "features_inception: of a network that was fine-tuned on all labels; few-shot scores with it are too good"
            )
        predictions = list_released(
            root,
            folder=folder,
            full="features_inception/inat2018_val_preds_sparse.npz",
            few_shot="fewshot/inat2018_val_preds_sparse_ratio{ratio:.3f}.npz",
            matrix=features["val"],
            classes=coco.by_column(categories, listed),
            remarks=remarks,
        )
        matrices |= features
    parts = [
        Part(
            f"{split}2018",
            role,
            find(root, f"{split}2018.json"),
            find(root, f"{split}2018_locations.json"),
            matrices[split],
        )
        for split, role in ROLES.items()
    ]
    return Source(
        coco.batches(parts, categories, root=root, remarks=remarks, files=files),
        Reading("data_root", folder),
        settings.inspection if settings.form == "images" else "none",
        files,
        remarks,
        predictions,
    )
