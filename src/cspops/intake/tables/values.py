"""The values of a column, whatever its type: as text, or as degrees; and how missing ones are spelled."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cspops.errors import DataError

MISSING = (
    "", "NA", "N/A", "n/a", "#N/A", "nan", "NaN", "NAN", "null", "NULL", "Null", "None", "-",
    r"\N", "<NA>", "NaT", "(null)", "#NA", "#N/A N/A", ".", "--",
)  # fmt: skip
"""How a missing value is spelled in columns of names (labels, ids, places), with or without blanks around: as databases,
spreadsheets and data frames write it. What a person may have meant as a name (`none`, `missing`, `unknown`) is one."""

NOTHING = (*dict.fromkeys(word.lower() for word in MISSING), "nil", "missing", "unknown", "?")
"""The same, in any case, where no name can stand: positions, dates, splits, numbers."""


def degrees(lon: pa.Array, lat: pa.Array, *, what: str) -> tuple[pa.Array, pa.Array]:
    """Return both as float64, or as text as it stands where one is text; null where they are missing."""
    numbers = [_numbers_of(lon), _numbers_of(lat)]
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0], numbers[1]
    first, second = (_without(NOTHING, as_text(values, what), lower=True, trim=False) for values in (lon, lat))
    return first, second


def _numbers_of(values: pa.Array) -> pa.Array | None:
    kind = values.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return None
    numbers = values.cast(pa.float64())
    return pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)


def trimmed(text: pa.Array) -> pa.Array:
    """Return names without blanks around, null where missing."""
    return _without(MISSING, text)


def given(text: pa.Array) -> pa.Array:
    """Return texts that are no names (dates, splits, numbers) without blanks around, null where missing."""
    return _without(NOTHING, text, lower=True)


def _without(spellings: tuple[str, ...], text: pa.Array, *, lower: bool = False, trim: bool = True) -> pa.Array:
    bare = pc.utf8_trim_whitespace(text)
    missing = pc.is_in(pc.utf8_lower(bare) if lower else bare, pa.array(spellings))
    return pc.if_else(missing, pa.scalar(None, pa.string()), bare if trim else text)


def as_text(values: pa.Array, what: str) -> pa.Array:
    """Return whole numbers without a fraction, times as ISO 8601, bytes as the UTF-8 that they are.

    DataError, which names ``what``, for nested values and other bytes.
    """
    values = decoded(values)
    kind = values.type
    if pa.types.is_floating(kind):
        return _floats_as_text(values)
    if pa.types.is_decimal(kind):
        plain = pc.replace_substring_regex(values.cast(pa.string()), r"^(-?\d+\.\d*?)0+$", r"\1")
        return pc.replace_substring_regex(plain, r"\.$", "")
    if pa.types.is_timestamp(kind):
        text = pc.strftime(values.cast(pa.timestamp(kind.unit)), "%Y-%m-%dT%H:%M:%S")
        return pc.binary_join_element_wise(text, "Z", "") if kind.tz else text
    if pa.types.is_nested(kind):
        raise DataError(f"{what} holds {kind}, not text")
    try:
        return (values.cast(pa.binary()) if is_binary(kind) else values).cast(pa.string())
    except pa.ArrowInvalid:
        raise DataError(f"{what} holds bytes that are not UTF-8, not text") from None
    except pa.ArrowNotImplementedError:
        raise DataError(f"{what} holds {kind}, not text") from None


def _floats_as_text(values: pa.Array) -> pa.Array:
    """Return 1.0 as 1, other numbers as their own type prints them, nan as null."""
    wide = values.cast(pa.float64())
    whole = pc.and_(pc.equal(pc.floor(wide), wide), pc.less(pc.abs(wide), 2**53))
    number = pc.if_else(whole, wide, pa.scalar(None, pa.float64())).cast(pa.int64()).cast(pa.string())
    if pa.types.is_float16(values.type):
        printed = pa.array(np.asarray(values.to_numpy(zero_copy_only=False), np.float16).astype(str), pa.string())
    else:
        printed = values.cast(pa.string())
    present = pc.and_(pc.is_valid(values), pc.invert(pc.is_nan(wide)))
    return pc.if_else(present, pc.coalesce(number, printed), pa.scalar(None, pa.string()))


def decoded(values: pa.Array) -> pa.Array:
    """Return values without dictionary encoding, which pandas' categories have, and without an extension's wrapping."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if isinstance(values, pa.UuidArray):
        return pa.array([None if one is None else str(one) for one in values.to_pylist()], pa.string())
    return values.storage if isinstance(values, pa.ExtensionArray) else values


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )
