"""plan.parquet: the tiles, and the processor they are scored on, written down before the first is scored.

What a resumed job finds there holds, whatever it would measure or choose now.
"""

import dataclasses
import json
import logging
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa

from recsys.grid import Tile
from recsys.model import Model
from recsys.store import Folder, canonical_json, describe

log = logging.getLogger("recsys")
PLAN = "plan.parquet"


@dataclass(frozen=True, kw_only=True)
class Begun:
    """How the scores of a folder were begun."""

    tiles: list[Tile]
    model: dict[str, Any]  # described, with everything decided that was left to the processor
    device: str

    @classmethod
    def read(cls, folder: Folder, fingerprint: str) -> Self | None:
        """What is written in the folder; None if there is nothing, or of other work."""
        if not folder.exists(PLAN):
            return None
        table = folder.read_table(PLAN)
        told = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        if told.get("fingerprint") != fingerprint:
            return None
        tiles = [Tile(**row) for row in table.to_pylist()]
        return cls(tiles=tiles, model=json.loads(told["model"]), device=told["device"])

    def write(self, folder: Folder, fingerprint: str) -> None:
        table = pa.Table.from_pylist([dataclasses.asdict(t) for t in self.tiles])
        told = {"fingerprint": fingerprint, "model": canonical_json(self.model), "device": self.device}
        folder.write_table(PLAN, table.replace_schema_metadata(told))

    def same(self, model: Model, device: str) -> bool:
        """Whether tiles would be scored as they were begun."""
        return device == self.device and describe(model) == self.model

    def goes_on(self, model: Model, device: str) -> Model:
        """The model as it was when the first tile was scored. ValueError on another kind of device."""
        if device != self.device:
            raise ValueError(
                f"these scores were begun on {self.device}, and this is {device}, whose scores differ in the last "
                f"digits: finish them with resources.device={self.device}, or score anew under another name"
            )
        if self.same(model, device):
            return model
        before = {name: self.model[name] for name in model.of_inference}
        log.info("score       goes on as it was begun: %s", ", ".join(f"{k}={v}" for k, v in before.items()))
        return dataclasses.replace(model, **before)


def resume(folder: Folder, fingerprint: str, model: Model, device: str) -> tuple[Begun | None, Model]:
    """How the scores of a folder were begun, if what is there holds, and the model as it then has to be.

    ValueError where tiles are scored and nothing tells which.
    """
    begun = Begun.read(folder, fingerprint)
    if not folder.holds_progress():  # a dry run may have planned it, and for another processor
        return (begun, model) if begun is not None and begun.same(model, device) else (None, model)
    if begun is None:
        raise ValueError(
            f"{folder.path} holds scored tiles but not their own {PLAN}, and without it nobody knows which pairs they "
            "are of; delete that folder and score again"
        )
    return begun, begun.goes_on(model, device)
