"""What every section of params.yaml shares: strictness, and the kinds of numbers."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import CoreSchema, core_schema

Share = Annotated[float, Field(ge=0, le=1)]
PartialShare = Annotated[float, Field(ge=0, lt=1)]
"""A share that leaves something: of dropout, momentum, label smoothing."""
Rate = Annotated[float, Field(gt=0, le=1e3)]
"""A learning rate."""
Decay = Annotated[float, Field(ge=0, le=1e3)]
"""A weight decay."""
Temperature = Annotated[float, Field(ge=1e-4, le=1e4)]
"""It divides cosines, whose exponentials stay within float32."""


def require_learnable(*temperatures: float) -> None:
    """Raise a ValueError unless each temperature may be where a learned one starts: see `heads.LARGEST_SCALE`."""
    if min(temperatures) < 0.01:
        raise ValueError("a temperature that is learned starts at 0.01 or more (learn_temperature)")


Weight = Annotated[float, Field(ge=0, le=1e6)]
"""Of a term in a sum of losses."""
Factor = Annotated[float, Field(ge=1e-6, le=1e6)]
"""A positive number that multiplies or divides others."""
Ridge = Annotated[float, Field(ge=1e-12, le=1e6)]
"""A weight of squared weights (l2)."""
Count = Annotated[int, Field(ge=1, le=10**6)]
"""Of epochs, rounds, rows."""
Steps = Annotated[int, Field(ge=1, le=10**9)]
"""Of an optimizer."""
Patience = Annotated[int, Field(ge=0, le=10**6)]
MOST_ROWS = 2**20
"""In a batch."""
Batch = Annotated[int, Field(ge=2, le=MOST_ROWS)]
Width = Annotated[int, Field(ge=1, le=65536)]
"""Of a layer, an embedding or an encoding: no larger one is meant, and memory would end first."""
Scale = Annotated[float, Field(ge=1e-9, le=1e9)]
"""A length that divides coordinates: float64 phases mean something within this range."""
Km = Annotated[float, Field(ge=1e-6, le=40075)]
"""No distance on Earth is longer than the equator."""
Metres = Annotated[float, Field(ge=1e-3, le=40075e3)]
Negatives = Literal["sphere", "planar_disk", "ne_quadrant", "land", "data"]
"""The law that random locations are drawn from."""
FEW = 100
"""The longest list of values to choose among."""


class Section(BaseModel):
    """A part of params.yaml, frozen, strict about keys and kinds: `epochs: "3"`, `epochs: true`, `epochs: 2.5` are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, serialize_by_alias=True, allow_inf_nan=False)

    @classmethod
    def fields_by_key(cls) -> dict[str, str]:
        """Map keys as params.yaml spells them to names of fields: they differ where a key is no Python name (`sphereC+`)."""
        return {field.alias or name: name for name, field in cls.model_fields.items()}


def _not_null(value: Any) -> Any:
    if value is None:
        raise ValueError("null is not a section; give its keys, or {} where it has none, or leave it out")
    return value


S = TypeVar("S", bound=Section)
Possible = Annotated[S | None, BeforeValidator(_not_null)]
"""A section of a catalogue, None where it is absent: only the chosen one must be there, which `reading.checked` looks after."""


class NameIn:
    """The name, in an `Annotated[str, NameIn(Losses)]`, of one of the sections of a catalogue."""

    def __init__(self, catalogue: type[Section]) -> None:
        self.names = list(catalogue.fields_by_key())

    def __get_pydantic_core_schema__(self, *_: Any) -> CoreSchema:
        return core_schema.literal_schema(self.names)
