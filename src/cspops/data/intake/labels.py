"""Names of classes: one spelling for what is one class."""

import unicodedata
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

RESPELT = "label with blanks around it, several in a row, or in another Unicode form"
MERGED = "label that differs in case only from the commonest spelling of its class, which it is given"
NAMED = 10
"""Names in a warning."""


class Names:
    """Numbers the names of classes as they come."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._code: dict[str, int] = {}
        self._of_text: dict[str, tuple[int, bool]] = {}

    def codes(self, labels: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """The number of each label's normalised name, -1 for null or blank, and which labels are spelt otherwise.

        Normalised: Unicode form NFC, no blanks around, one blank for any run of white space.
        """
        encoded = pc.dictionary_encode(labels)
        read = [self._read(text) for text in encoded.dictionary.to_pylist()]
        read.append((-1, False))  # for null
        which = encoded.indices.fill_null(len(read) - 1).to_numpy(zero_copy_only=False)
        code = np.array([code for code, _ in read], np.int32)
        respelt = np.array([changed for _, changed in read])
        return code[which], respelt[which]

    def _read(self, text: str) -> tuple[int, bool]:
        known = self._of_text.get(text)
        if known is None:
            name = normalised(text)
            code = -1
            if name:
                code = self._code.setdefault(name, len(self._code))
                if code == len(self.names):
                    self.names.append(name)
            known = self._of_text[text] = code, bool(name) and name != text
        return known


def normalised(text: str) -> str:
    """A label in Unicode form NFC with one blank for any run of white space, and none around."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def spellings(names: list[str], counts: np.ndarray) -> dict[int, int]:
    """Which name replaces which of those that differ in case only: the commonest, of equals the first in code point order.

    Args:
        names: of the classes.
        counts: rows of each.

    Returns:
        By its number, the number of the name that replaces it; names that stay are not there, nor those without rows.
    """
    alike: dict[str, list[int]] = {}
    for code in np.flatnonzero(counts).tolist():
        alike.setdefault(names[code].casefold(), []).append(code)
    replaced: dict[int, int] = {}
    for codes in alike.values():
        best, *others = sorted(codes, key=lambda code: (-counts[code], names[code]))
        replaced |= dict.fromkeys(others, best)
    return replaced


def about_case(names: list[str], counts: np.ndarray, replaced: dict[int, int], *, merged: bool) -> str:
    """The warning about labels that differ in case only; ``replaced`` as from `spellings`."""
    pairs = sorted((names[best], names[code], best, code) for code, best in replaced.items())
    named = listed(f"{other!r} ({counts[code]}) and {kept!r} ({counts[best]})" for kept, other, best, code in pairs)
    if merged:
        return (
            f"{len(pairs)} labels differ in case only from another and became one class with it, spelt as the second: {named}"
        )
    return f"{len(pairs)} labels differ in case only from another and are classes of their own (dataset.merge_labels): {named}"


def about_singles(classes: dict[str, int]) -> str | None:
    """The warning about classes with one observation."""
    single = [name for name, count in classes.items() if count == 1]
    if not single:
        return None
    return f"{len(single)} of {len(classes)} classes have one observation: {listed(map(repr, single))}"


def listed(names: Iterable[str]) -> str:
    """The first ten of some names, and how many more there are."""
    every = list(names)
    more = len(every) - NAMED
    return ", ".join(every[:NAMED]) + (f" and {more} more" if more > 0 else "")
