"""The network of a split encoder: a two-tower, and joint layers that correct its score.

Shapes: B pairs, W tokens, D dimensions, T outputs, J joint layers.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file

from recsys.model import _two_tower
from recsys.model._folder import read_settings, write_settings
from recsys.model._joint import joint_layers, matches
from recsys.model._network import Network
from recsys.model._packed import Packing, encode
from recsys.model._two_tower import TwoTowerNetwork, pooled

if TYPE_CHECKING:
    from recsys.model.split_encoder import SplitEncoder

_JOINT = "joint.safetensors"
_STEP = 10.0  # the head is stored divided by this: at a transformer's learning rate it would hardly move


def build(
    option: "SplitEncoder", queries: pa.Table, items: pa.Table, outputs: tuple[str, ...], seed: int
) -> "SplitNetwork":
    """See `Supervised.build`."""
    network = SplitNetwork(_two_tower.build(option, queries, items, outputs, seed), option.joint_layers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network.correction.start_mark()
    return network


def open_network(folder: Path) -> "SplitNetwork":
    """The network that `SplitNetwork.save` wrote. Raises ValueError naming the folder if it is not one."""
    settings = read_settings(folder, model="split_encoder")
    towers = _two_tower.open_network(folder, settings)
    try:
        network = SplitNetwork(towers, settings["joint_layers"])
        network.correction.load_state_dict(load_file(folder / _JOINT))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"{folder} is not a complete split_encoder: {str(error).splitlines()[0]}") from error
    return network


class Correction(torch.nn.Module):
    """J joint layers, a mark that tells the item's states from the query's, another on tokens of the query
    that stand in the item too, and a head of zeros."""

    def __init__(self, towers: TwoTowerNetwork, num_layers: int) -> None:
        super().__init__()
        size = towers.model.config.hidden_size
        self.layers = torch.nn.ModuleList(joint_layers(towers.model, num_layers))
        self.mark_JD = torch.nn.Parameter(torch.zeros(num_layers, size))
        self.match_D = torch.nn.Parameter(torch.zeros(size))
        self.head_TD = torch.nn.Parameter(torch.zeros(len(towers.outputs), size))

    def start_mark(self) -> None:
        """Draws the mark of matches, about as large as a state: from 0 it would hardly move."""
        norm: Any = self.layers[0].layer.attention.output.LayerNorm  # type: ignore[union-attr]
        torch.nn.init.normal_(self.match_D, std=float(norm.weight.detach().abs().mean()))

    def marked(self, rows: torch.Tensor, match: torch.Tensor) -> torch.Tensor:
        """Query rows `...RD` with the mark of their tokens, `...R`."""
        return torch.addcmul(rows, match.to(rows.dtype)[..., None], self.match_D)

    def judge(self, first_BD: torch.Tensor) -> torch.Tensor:
        """What the [CLS] row adds to the score; BT, float32."""
        return first_BD.float() @ (self.head_TD.float() * _STEP).T


class SplitNetwork(Network):
    """A two-tower and its correction."""

    def __init__(self, towers: TwoTowerNetwork, num_layers: int) -> None:
        super().__init__()
        self.towers = towers
        self.outputs = towers.outputs
        self.correction = Correction(towers, num_layers)
        template = towers.template
        special = {template.pad_id, template.unknown_id, *(i for piece in template.specials for i in piece)}
        self.register_buffer("special_S", torch.tensor(sorted(special)), persistent=False)

    def collate(self, query_texts: list[str], item_texts: list[str]) -> dict[str, torch.Tensor]:
        return self.towers.collate(query_texts, item_texts)

    def words(self, ids: torch.Tensor) -> torch.Tensor:
        """Token ids, int32, -1 where a token says nothing: padding, unknown, or around a text."""
        return torch.where(torch.isin(ids, self.get_buffer("special_S")), -1, ids).int()

    def states(self, ids_BW: torch.Tensor, mask_BW: torch.Tensor | None) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Vectors BD of a batch of texts, and the J states BWD that enter the joint layers."""
        transformer: Any = self.towers.model
        packing = Packing.of((ids_BW.shape[0], ids_BW.shape[1]), mask_BW)
        hidden_ND = packing.pack(transformer.embeddings(input_ids=ids_BW))
        states = encode(transformer.encoder.layer, hidden_ND, packing)
        *entering, last_BWD = (packing.pad(s) for s in states[-1 - len(self.correction.layers) :])
        return pooled(last_BWD, mask_BW), entering

    def forward(self, **batch: torch.Tensor) -> torch.Tensor:
        query_mask, item_mask = batch["query_mask"], batch["item_mask"]
        query_BD, query_states = self.states(batch["query_ids"], query_mask)
        item_BD, item_states = self.states(batch["item_ids"], item_mask)
        mask_B11W = torch.cat([query_mask, item_mask], dim=1).bool()[:, None, None, :]
        match_BW = matches(self.words(batch["query_ids"])[:, None], self.words(batch["item_ids"]))[:, 0]
        hidden = query_states[0]
        layers: list[Any] = list(self.correction.layers)
        for j, (layer, item_BWD) in enumerate(zip(layers, item_states, strict=True)):
            own = layer.keys_values(hidden)
            other = layer.keys_values(item_BWD + self.correction.mark_JD[j])
            keys, values = (torch.cat(pair, dim=2) for pair in zip(own, other, strict=True))
            rows = hidden[:, :1] if j + 1 == len(item_states) else hidden
            marked = self.correction.marked(rows, match_BW[:, : rows.shape[1]]) if j == 0 else rows
            hidden = layer(rows, keys, values, mask_B11W, marked)
        return self.towers.compare(query_BD, item_BD) + self.correction.judge(hidden[:, 0])

    def save(self, folder: Path) -> None:
        self.towers.save(folder)
        save_file({n: p.detach().cpu().contiguous() for n, p in self.correction.state_dict().items()}, folder / _JOINT)
        settings = {
            "max_query_tokens": self.towers.max_query_tokens,
            "max_item_tokens": self.towers.max_item_tokens,
            "joint_layers": len(self.correction.layers),
        }
        write_settings(folder, model="split_encoder", outputs=self.outputs, settings=settings)
