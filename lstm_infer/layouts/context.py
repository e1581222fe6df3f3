"""What translating a config needs to know about its surroundings, and how it refuses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NoReturn

from ..errors import LoadError
from ..spec import RawWeights, Semantics
from .semantics import Writer

MAX_NESTING = 30  # models and wrappers inside each other
MAX_ITEMS = 30_000  # layers, calls and tensors they take, in all models of a file


@dataclass(frozen=True)
class Context:
    """What translating a layer needs to know about its surroundings."""

    source: str
    writer: Writer
    semantics: Semantics
    weights: RawWeights | None = None
    nesting: int = 0
    data_format: str | None = None  # what layers of Keras 1 mean that do not say it, as far as others of the model tell
    plain: frozenset[str] = frozenset()  # names and classes of models that are said to compute nothing of their own
    counted: list[int] = field(default_factory=lambda: [0])  # items so far; shared by all contexts of a file

    def count(self, layer: object, items: int = 1) -> None:
        self.counted[0] += items
        if self.counted[0] > MAX_ITEMS:
            self.fail(layer, f"the file has more than {MAX_ITEMS:,} layers and calls", "fewer")

    def deeper(self, layer: str) -> Context:
        if self.nesting >= MAX_NESTING:
            self.fail(layer, "is nested too deeply", f"at most {MAX_NESTING} levels")
        return replace(self, nesting=self.nesting + 1)

    def fail(self, layer: object, found: str, expected: str) -> NoReturn:
        raise LoadError(f"{self.source}: layer {str(layer)[:100]}: {found}, expected {expected}")
