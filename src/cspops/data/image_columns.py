"""The kinds of the columns that say where an image is, of a source's rows and of the catalogue."""

import pyarrow as pa

IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
"""As Hugging Face datasets has it: bytes, or a path (with /) below the images' root, or both null."""

CROP = pa.struct([pa.field(side, pa.int32()) for side in ("left", "top", "right", "bottom")])
"""Pixels of the upright image, right and bottom exclusive."""

GIVEN_FEATURES = pa.struct([pa.field("path", pa.string()), pa.field("row", pa.int64())])
"""A row of an .npy matrix of image features below the images' root, instead of an image."""
