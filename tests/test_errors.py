"""What an exception of ours says to the user of the library."""

import pickle

import pytest

from cspops.errors import CspopsError, DataError, NotThere, ParamsError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DataError("a is missing", hint="dvc repro"), "a is missing\nhint: dvc repro"),
        (ParamsError(["a is wrong", "b is wrong"], hint="see params.yaml"), "a is wrong\nb is wrong\nhint: see params.yaml"),
        (NotThere("a is missing", hint=""), "a is missing"),
        (CspopsError("broken off"), "broken off"),
    ],
)
def test_the_text_of_an_error_holds_its_hint_and_survives_pickling(error, text):
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert str(one) == text
        assert (one.message, one.hint, one.lines) == (error.message, error.hint, error.lines)
