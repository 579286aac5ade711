"""What a Snapshot is made of."""

from pydantic import BaseModel, ConfigDict


class Fact(BaseModel):
    """Base of everything in a Snapshot: immutable; unknown fields are an error, so an old file is refused and not
    misread.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")
