"""The verdict on each row: why it is set aside (one reason, with the value at fault) or what is odd about it."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def is_given(column: pa.Array) -> np.ndarray:
    """Return which items are not null."""
    given: np.ndarray = pc.is_valid(column).to_numpy(zero_copy_only=False)
    return given


def is_true(mask: pa.Array) -> np.ndarray:
    """Return a mask of booleans, null taken for false."""
    true: np.ndarray = mask.fill_null(False).to_numpy(zero_copy_only=False)
    return true


def at(rows: np.ndarray, items: pa.Array, n: int) -> pa.Array:
    """Return a column of ``n`` items: ``items`` at ``rows``, null elsewhere; of a row named twice the last item."""
    place = np.full(n, -1, np.int64)
    place[rows] = np.arange(len(rows))
    return items.take(pa.array(place, mask=place < 0))


LONGEST = 80
"""Characters of a detail; a longer one is cut."""


class Verdicts:
    """Verdicts on ``n`` consecutive rows. The first reason that is given for a row stays."""

    def __init__(self, n: int, sentences: dict[str, int] | None = None) -> None:
        """Number sentences in ``sentences``, which verdicts that are to be `joined` share."""
        self.sentences: dict[str, int] = {} if sentences is None else sentences
        self.reason = np.full(n, -1, np.int32)
        """The number of the sentence, -1 for a row that is good so far."""
        self._details: list[tuple[np.ndarray, pa.Array]] = []
        self._notes: list[tuple[np.ndarray, np.ndarray]] = []

    @classmethod
    def joined(cls, parts: Sequence["Verdicts"], sentences: dict[str, int]) -> "Verdicts":
        """Join the verdicts on the rows of all ``parts``, one after the other."""
        whole = cls(sum(len(part.reason) for part in parts), sentences)
        start = 0
        for part in parts:
            if part.sentences is not sentences:
                raise ValueError("the parts number their sentences apart")
            whole.reason[start : start + len(part.reason)] = part.reason
            whole._details += [(rows + start, texts) for rows, texts in part._details]
            whole._notes += [(rows + start, codes) for rows, codes in part._notes]
            start += len(part.reason)
        return whole

    @property
    def good(self) -> np.ndarray:
        """Which rows have no reason."""
        good: np.ndarray = self.reason < 0
        return good

    def reject(self, which: np.ndarray, reason: str, detail: pa.Array | None = None) -> None:
        """Give ``reason`` to the rows of a mask, with their items of ``detail`` (one item per row)."""
        rows = np.flatnonzero(which & self.good)
        if len(rows):
            self.reason[rows] = self._code(reason)
            self._remember(rows, detail)

    def reject_each(self, reason: pa.Array, detail: pa.Array | None = None) -> None:
        """Give each row its own reason; null for none."""
        rows = np.flatnonzero(is_given(reason) & self.good)
        if len(rows):
            self.reason[rows] = self._codes(reason.take(pa.array(rows)))
            self._remember(rows, detail)

    def note(self, which: np.ndarray, sentence: str) -> None:
        """Note ``sentence`` about the rows of a mask."""
        rows = np.flatnonzero(which)
        if len(rows):
            self._notes.append((rows, np.full(len(rows), self._code(sentence), np.int32)))

    def note_each(self, notes: pa.ListArray) -> None:
        """Note all sentences of each row's list."""
        texts = pc.list_flatten(notes)
        rows = pc.list_parent_indices(notes).to_numpy()[is_given(texts)]
        if len(rows):
            pairs = np.unique(np.stack((rows, self._codes(texts.drop_null())), 1), axis=0)  # a row's note counts once
            self._notes.append((pairs[:, 0], pairs[:, 1].astype(np.int32)))

    def details(self) -> pa.Array:
        """Return the detail of each row, null where there is none."""
        rows = np.concatenate([np.array([], np.int64), *(rows for rows, _ in self._details)])
        texts = pa.concat_arrays([pa.array([], pa.string()), *(texts for _, texts in self._details)])
        return at(rows, texts, len(self.reason))

    def reasons(self) -> dict[str, int]:
        """Return how many rows have which reason, commonest first, then by the first row that has it."""
        bad = self.reason[self.reason >= 0]
        codes, first, counts = np.unique(bad, return_index=True, return_counts=True)
        names = list(self.sentences)
        return {names[codes[i]]: int(counts[i]) for i in np.lexsort((first, -counts))}

    def first_row(self, reason: str) -> int:
        """Return the first row that has ``reason``."""
        return int(np.argmax(self.reason == self.sentences[reason]))

    def notes(self) -> dict[str, int]:
        """Return how many good rows have which note, commonest first, then in code point order."""
        counts = np.zeros(len(self.sentences), np.int64)
        for rows, codes in self._notes:
            counts += np.bincount(codes[self.good[rows]], minlength=len(counts))
        counted = [(sentence, int(counts[code])) for sentence, code in self.sentences.items() if counts[code]]
        return dict(sorted(counted, key=lambda one: (-one[1], one[0])))

    def noted(self, most: int) -> dict[str, list[int]]:
        """Return the first rows with each note, at most so many, of the rows that are good."""
        rows = np.concatenate([np.array([], np.int64), *(rows for rows, _ in self._notes)])
        codes = np.concatenate([np.array([], np.int32), *(codes for _, codes in self._notes)])
        kept = self.good[rows]
        pairs = np.unique(np.stack((codes[kept], rows[kept]), 1), axis=0)
        names = list(self.sentences)
        return {names[code]: pairs[pairs[:, 0] == code, 1][:most].tolist() for code in np.unique(pairs[:, 0]).tolist()}

    def _code(self, sentence: str) -> int:
        return self.sentences.setdefault(sentence, len(self.sentences))

    def _codes(self, sentences: pa.Array) -> np.ndarray:
        encoded = pc.dictionary_encode(sentences)
        codes = np.array([self._code(one) for one in encoded.dictionary.to_pylist()], np.int32)
        of_rows: np.ndarray = codes[encoded.indices.to_numpy()]
        return of_rows

    def _remember(self, rows: np.ndarray, detail: pa.Array | None) -> None:
        if detail is not None:
            self._details.append((rows, shortened(detail.take(pa.array(rows)))))


def shortened(texts: pa.Array) -> pa.Array:
    """Cut texts to `LONGEST` characters, dots at the end; line ends and tabs become blanks."""
    texts = pc.replace_substring_regex(texts, r"[\r\n\t]+", " ")
    cut = pc.binary_join_element_wise(pc.utf8_slice_codeunits(texts, 0, LONGEST - 3), "...", "")
    return pc.if_else(pc.greater(pc.utf8_length(texts), LONGEST), cut, texts)
