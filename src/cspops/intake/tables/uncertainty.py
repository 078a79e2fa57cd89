"""How exact positions are: the columns of GBIF's and iNaturalist's exports as metres."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cspops.intake.tables.records import Records, shortened
from cspops.intake.tables.values import as_text, given

PUBLIC = ("coordinateUncertaintyInMeters", "uncertainty_m", "public_positional_accuracy", "coordinate_uncertainty")
"""Metres around the position as it is published."""
TRUE = "positional_accuracy"
"""Metres around the true position, which says nothing about one that is obscured."""
OBSCURED = {
    "coordinates_obscured": r"^(?:true|t|1|yes|y)$",
    "geoprivacy": "^(?:obscured|private)",
    "taxon_geoprivacy": "^(?:obscured|private)",
    "informationWithheld": "coordinat|locat|localit|georef|position|obscur",
    "dataGeneralizations": "coordinat|locat|localit|georef|position|obscur|grid|degree",
}
"""What of each column, in lower case, says that the position has been blurred."""

METRES = r"^\+?(?P<number>\d+\.?\d*|\.\d+)\s*(?:m|metres|meters)?$"
FAR = 1000.0


class UncertaintyReader:
    """Reads the uncertainty of a table's records, and counts what it remarks on."""

    def __init__(self, file_name: str, columns: Mapping[str, str]) -> None:
        """Take the table's columns by their names in `columns.UNCERTAINTY`."""
        self.file_name, self.columns = file_name, columns
        self._of_positions: list[np.ndarray] = []
        self._unread = 0
        self._example = ""

    def read(self, records: Records, located: np.ndarray) -> pa.Array | None:
        """Return metres, inf where a position is obscured and nothing says by how much, null where nothing is known.

        None for a table without such columns; ``located`` says which rows have a position.
        """
        if not self.columns:
            return None
        metres = np.full(len(records.number), np.nan)
        for name in PUBLIC:
            if name in self.columns:
                metres = np.fmax(metres, self._metres(records, name))
        obscured = np.zeros(len(metres), bool)
        for name, pattern in OBSCURED.items():
            if name in self.columns:
                text = pc.utf8_lower(given(self._text(records, name)))
                obscured |= pc.match_substring_regex(text, pattern).fill_null(False).to_numpy(zero_copy_only=False)
        if TRUE in self.columns:
            metres = np.where(obscured, metres, np.fmax(metres, self._metres(records, TRUE)))
        metres[obscured & np.isnan(metres)] = np.inf
        self._of_positions.append(metres[located])
        return pa.array(metres, mask=np.isnan(metres))

    def _text(self, records: Records, name: str) -> pa.Array:
        return as_text(records.columns[self.columns[name]], f"{self.file_name}: column {self.columns[name]!r}")

    def _metres(self, records: Records, name: str) -> np.ndarray:
        """Return numbers above 0, nan for the others: 0 is no uncertainty that a device has."""
        text = given(self._text(records, name))
        number = pc.struct_field(pc.extract_regex(pc.utf8_lower(text), METRES), "number")
        unread = pc.and_(pc.is_valid(text), pc.is_null(number))
        if count := pc.sum(unread).as_py():
            self._example = self._example or shortened(text.filter(unread)[0].as_py(), 40)
            self._unread += count
        values: np.ndarray = number.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
        return np.where(values > 0, values, np.nan)

    def remarks(self, *, remedy: bool) -> list[str]:
        """Return what is to be said after the last record; ``remedy`` names the key of params.yaml."""
        values = np.concatenate([np.zeros(0), *self._of_positions])
        sentences = about_uncertainty(self.file_name, values, remedy=remedy)
        if self._unread:
            which = f"{self._unread:,} uncertainties of positions are not metres, left out, such as {self._example!r}"
            sentences.append(f"{self.file_name}: {which}")
        return sentences


def about_uncertainty(file_name: str, metres: np.ndarray, *, remedy: bool) -> list[str]:
    """Return the remark, or none, on the uncertainties of positions as `UncertaintyReader.read` has them, nan for null."""
    known, obscured = metres[np.isfinite(metres)], int(np.isinf(metres).sum())
    if not len(known) and not obscured:
        return []
    parts = []
    if len(known):
        far = int((known > FAR).sum())
        beyond = f", above 1 km of {far:,}" if far else ""
        parts.append(f"an uncertainty is stated of {len(known):,} of {len(metres):,} (median {np.median(known):.6g} m{beyond})")
    if obscured:
        parts.append(f"{obscured:,} {'is' if obscured == 1 else 'are'} obscured by an unknown distance")
    way = "; dataset.max_uncertainty_m sets a limit" if remedy else ""
    return [f"{file_name}: positions are taken as exact, although {' and '.join(parts)}{way}"]
