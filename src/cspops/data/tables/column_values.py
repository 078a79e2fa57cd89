"""Columns of a table, of whatever Arrow type, as text or degrees, with null for what is missing."""

import pyarrow as pa
import pyarrow.compute as pc

from cspops.errors import DataError

MISSING = ("", "NA", "N/A", "n/a", "#N/A", "nan", "NaN", "NAN", "null", "NULL", "Null", "None", "-")
"""How a missing value is spelt, in any column, with or without blanks around."""

MISSING_POSITION = ("", "na", "n/a", "#n/a", "nan", "null", "none", "-")
"""The same for longitude and latitude, in any case."""


def degrees(lon: pa.Array, lat: pa.Array, *, what: str) -> tuple[pa.Array, pa.Array]:
    """Both as float64, or as text as it stands where one is text; null where they are missing."""
    numbers = [_numbers(lon), _numbers(lat)]
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0], numbers[1]
    text = [as_text(values, what) for values in (lon, lat)]
    missing = [pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(part)), pa.array(MISSING_POSITION)) for part in text]
    first, second = (pc.if_else(no, pa.scalar(None, pa.string()), part) for no, part in zip(missing, text, strict=True))
    return first, second


def _numbers(values: pa.Array) -> pa.Array | None:
    kind = values.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return None
    numbers = values.cast(pa.float64())
    return pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)


def trimmed(text: pa.Array) -> pa.Array:
    """Without blanks around, null where missing."""
    text = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.is_in(text, pa.array(MISSING)), pa.scalar(None, pa.string()), text)


def as_text(values: pa.Array, what: str) -> pa.Array:
    """Whole numbers without a fraction, times as ISO 8601; DataError, with ``what`` has such values, for nested ones."""
    values = decoded(values)
    kind = values.type
    if pa.types.is_floating(kind):
        whole = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), 2**53))
        number = pc.if_else(whole, values, pa.scalar(None, kind)).cast(pa.int64()).cast(pa.string())
        text = pc.coalesce(number, values.cast(pa.string()))
        return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.string()), text)
    if pa.types.is_timestamp(kind):
        text = pc.strftime(values.cast(pa.timestamp(kind.unit)), "%Y-%m-%dT%H:%M:%S")
        return pc.binary_join_element_wise(text, "Z", "") if kind.tz else text
    if pa.types.is_nested(kind):
        raise DataError(f"{what} holds {kind}, no text")
    try:
        return values.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataError(f"{what} holds {kind}, no text") from None


def decoded(values: pa.Array) -> pa.Array:
    """Without dictionary encoding, which pandas' categories have."""
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )
