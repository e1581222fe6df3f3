"""What translating a config needs to know about its surroundings, and how it refuses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NoReturn

from ..errors import LoadError
from ..spec import RawWeights, Semantics
from .semantics import Writer

MAX_NESTING = 30  # models and wrappers inside each other


@dataclass(frozen=True)
class Context:
    """What translating a layer needs to know about its surroundings."""

    source: str
    writer: Writer
    semantics: Semantics
    weights: RawWeights | None = None
    nesting: int = 0
    data_format: str | None = None  # what layers of Keras 1 mean that do not say it, as far as others of the model tell

    def deeper(self, layer: str) -> Context:
        if self.nesting >= MAX_NESTING:
            self.fail(layer, "is nested too deeply", f"at most {MAX_NESTING} levels")
        return replace(self, nesting=self.nesting + 1)

    def fail(self, layer: object, found: str, expected: str) -> NoReturn:
        raise LoadError(f"{self.source}: layer {str(layer)[:100]}: {found}, expected {expected}")
