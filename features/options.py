"""The base of every group of settings; each room defines its own, and the config composes them."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Settings that refuse unknown keys and cannot be changed once made."""

    model_config = ConfigDict(extra="forbid", frozen=True)
