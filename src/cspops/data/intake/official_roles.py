"""The split that a source itself gives, by the names that `splits` knows."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

OFFICIAL = ("train", "val", "test", "spatial_val", "spatial_test")
UNKNOWN = f"its split is none of {', '.join(OFFICIAL)}"

SPELT = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validate": "val", "validation": "val", "dev": "val", "development": "val",
    "test": "test", "testing": "test",
    "spatial_val": "spatial_val", "spatial_valid": "spatial_val", "spatial_validation": "spatial_val",
    "spatial_test": "spatial_test", "spatial_testing": "spatial_test",
}  # fmt: skip


def read_roles(text: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The number (in `OFFICIAL`) of each row's role, -1 for null or blank, and which rows have an unknown one.

    Case, blanks around and hyphens for underscores do not matter.
    """
    encoded = pc.dictionary_encode(text)
    read = ["_".join(one.casefold().replace("-", " ").replace("_", " ").split()) for one in encoded.dictionary.to_pylist()]
    code = np.array([OFFICIAL.index(SPELT[one]) if one in SPELT else -1 for one in read] + [-1], np.int8)
    unknown = np.array([bool(one) and one not in SPELT for one in read] + [False])
    which = encoded.indices.fill_null(len(read)).to_numpy(zero_copy_only=False)
    return code[which], unknown[which]
