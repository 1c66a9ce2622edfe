"""What two_tower and cross_encoder have in common: where the transformer comes from and how much of a text it reads.

Nothing heavy is imported here: a configuration is checked before torch is loaded.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from recsys.model._model import Supervised

KNOWN = ("bert", "roberta", "xlm-roberta")  # whose layers are taken apart: `_layer.LAYERS`
DTYPES = ("auto", "float32", "bfloat16", "int8")
_MIN_HEAD_SIZE = 8


@dataclass
class Transformer(Supervised):
    """A Hugging Face folder or hub id, or a small BERT of the given sizes with a tokenizer trained on the texts."""

    of_inference: ClassVar[tuple[str, ...]] = ("dtype", "batch_tokens")
    known_layers: ClassVar[bool] = False  # whether it puts the parts of layers together itself: see `_layer.LAYERS`

    pretrained: str | None
    max_query_tokens: int
    max_item_tokens: int
    hidden_size: int
    num_layers: int
    num_heads: int
    vocabulary_size: int
    dropout: float
    dtype: str
    batch_tokens: int | None

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"model.dtype={self.dtype!r} is unknown; use one of {list(DTYPES)}")
        for name in ("max_query_tokens", "max_item_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name}={getattr(self, name)} must be at least 1")
        if self.batch_tokens is not None and self.batch_tokens < 1:
            raise ValueError(f"model.batch_tokens={self.batch_tokens} must be at least 1, or null to choose")
        if self.pretrained is None:
            self._check_sizes()

    def _check_sizes(self) -> None:
        for name, least in (("hidden_size", 1), ("num_layers", 1), ("num_heads", 1), ("vocabulary_size", 100)):
            if getattr(self, name) < least:
                raise ValueError(f"model.{name}={getattr(self, name)} must be at least {least}")
        if self.hidden_size % self.num_heads or self.hidden_size // self.num_heads < _MIN_HEAD_SIZE:
            raise ValueError(
                f"model.hidden_size={self.hidden_size} must be a multiple of num_heads={self.num_heads} and at least "
                f"{_MIN_HEAD_SIZE} times as large"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"model.dropout={self.dropout} must lie in [0, 1)")

    @classmethod
    def reopen(cls, fitted: dict[str, Any]) -> Self:
        described = {name: value for name, value in fitted.items() if name != "type"}
        return cls(**described, dtype="auto", batch_tokens=None)

    def check(self) -> None:
        check_pretrained(self.pretrained)
        if self.pretrained is None or not (path := Path(self.pretrained).expanduser()).is_dir():
            return
        kind = json.loads((path / "config.json").read_text(encoding="utf-8")).get("model_type")
        if kind not in KNOWN and (self.known_layers or self.dtype == "int8"):
            cause = "model.dtype=int8 replaces" if self.dtype == "int8" else "a split encoder joins"
            raise ValueError(
                f"model.pretrained={self.pretrained!r} is a {kind}, and {cause} layers of {', '.join(KNOWN)}; use one "
                "of these, or another model and dtype"
            )

    def identity(self) -> dict[str, str]:
        if self.pretrained is None or not Path(self.pretrained).expanduser().is_dir():
            return {}
        whole = hashlib.sha256()
        for path in sorted(p for p in Path(self.pretrained).expanduser().iterdir() if p.is_file()):
            with path.open("rb") as stream:
                whole.update(f"{path.name}:{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
        return {"pretrained": whole.hexdigest()}

    def settle(self, device: str) -> "Transformer":
        from recsys.model._backbone import choose_budget, choose_dtype

        dtype = choose_dtype(self.dtype, device)
        budget = choose_budget(self, device)
        return replace(self, dtype=str(dtype).removeprefix("torch."), batch_tokens=budget)


def check_pretrained(pretrained: str | None) -> None:
    """Raises ValueError if `pretrained` names a folder that is missing or no model. A hub id is not looked up."""
    if pretrained is None:
        return
    path = Path(pretrained).expanduser()
    looks_local = pretrained.startswith((".", "/", "~")) or pretrained.count("/") > 1
    if not pretrained or (looks_local and not path.is_dir()):
        raise ValueError(f"model.pretrained={pretrained!r}: there is no such folder; give a Hugging Face model folder")
    if path.is_dir() and not (path / "config.json").is_file():
        raise ValueError(
            f"model.pretrained={pretrained!r}: the folder has no config.json; give a folder written by save_pretrained"
        )
