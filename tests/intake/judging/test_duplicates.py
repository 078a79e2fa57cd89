"""Against a double loop over all pairs."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cspops.intake.judging.labels import OFFICIAL
from cspops.intake.judging.whole_set import PRECEDENCE, find_duplicates

prop = settings(deadline=None, derandomize=True, max_examples=150)

rows_of_any_kind = st.lists(
    st.tuples(
        st.integers(-1, 3),  # image
        st.sampled_from([(-1, -1, -1, -1), (0, 0, 5, 5), (0, 0, 5, 6)]),  # crop
        st.integers(-1, 1),  # label
        st.integers(-1, len(OFFICIAL) - 1),  # role
        st.booleans(),  # located
        st.sampled_from([True, True, True, False]),  # candidate
    ),
    max_size=14,
)


def naive(rows):
    """For each row what it is, and of which row."""
    found = []
    for i, (image, crop, label, role, _, candidate) in enumerate(rows):
        same = [j for j, other in enumerate(rows) if candidate and other[5] and image >= 0 and other[:2] == (image, crop)]
        labels = [(j, rows[j][2]) for j in same if rows[j][2] >= 0]
        if len(same) < 2:
            found.append((None, -1))
        elif len({one for _, one in labels}) > 1:
            first = labels[0]
            other = next(one for one in labels if one[1] != first[1])
            found.append(("contradiction", other[0] if label == first[1] else first[0]))
        else:

            def rank(j):
                role = rows[j][3]
                return PRECEDENCE.index(OFFICIAL[role]) if role >= 0 else 5, rows[j][2] < 0, not rows[j][4], j

            best = min(same, key=rank)
            leaks = role >= 0 and rows[best][3] >= 0 and role != rows[best][3]
            found.append((None, -1) if best == i else ("leakage" if leaks else "again", best))
    return found


def vectorised(rows):
    columns = [np.array([row[i] for row in rows]) for i in (0, 2, 3)]
    got = find_duplicates(
        columns[0].astype(np.int32),
        np.array([row[1] for row in rows]).reshape(-1, 4),
        label=columns[1].astype(np.int32),
        role=columns[2].astype(np.int8),
        located=np.array([row[4] for row in rows], bool),
        candidate=np.array([row[5] for row in rows], bool),
    )
    kinds = {name: getattr(got, name) for name in ("again", "leakage", "contradiction")}
    assert (sum(mask.astype(int) for mask in kinds.values()) <= 1).all()
    names = [next((name for name, mask in kinds.items() if mask[i]), None) for i in range(len(rows))]
    return list(zip(names, got.of.tolist(), strict=True))


@prop
@given(rows_of_any_kind)
def test_as_a_double_loop_finds(rows):
    assert vectorised(rows) == naive(rows)
