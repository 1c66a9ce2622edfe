"""The steps of a training, one data-parallel worker's share of them. No Ray in it.

Shapes: P labelled pairs, B pairs of a batch, T outputs.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from recsys.model._network import Network
from recsys.model._packed import pack_encoders
from recsys.objective import Objective
from recsys.stage._pairs import LabelledPairs


@dataclass(kw_only=True)
class Learner:
    """A network and what moves it. All workers draw the same global batches, and each takes its share."""

    network: Network
    model: torch.nn.Module  # the network, or what synchronises its gradients over workers
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    objective: Objective
    batch_size: int  # over all workers
    share: slice  # rank, none, number of workers
    device: torch.device

    @classmethod
    def of(
        cls,
        network: Network,
        model: torch.nn.Module,
        training: Any,  # a Training
        objective: Objective,
        *,
        num_pairs: int,
        share: slice,
        device: torch.device,
    ) -> "Learner":
        """AdamW, with a linear warm-up and decay over all epochs; the network computes without padding from now on."""
        pack_encoders(network)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
        )
        steps = training.epochs * math.ceil(num_pairs / training.batch_size)
        warmup = max(1, round(steps * training.warmup_fraction))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warmup, max(0.0, (steps - step) / max(1, steps - warmup)))
        )
        return cls(
            network=network,
            model=model,
            optimizer=optimizer,
            schedule=schedule,
            objective=objective,
            batch_size=training.batch_size,
            share=share,
            device=device,
        )

    def epoch(self, pairs: LabelledPairs, order_P: np.ndarray) -> float:
        """Takes every pair once, in the given order; the mean loss of the steps."""
        self.network.train()
        total, steps, world = 0.0, 0, self.share.step
        for start in range(0, len(order_P), self.batch_size):
            chosen = order_P[start : start + self.batch_size]
            chosen = chosen if len(chosen) >= world else order_P[:world]  # every worker takes part in every step
            self.optimizer.zero_grad()
            loss = self._loss(pairs, chosen[self.share])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            self.schedule.step()
            total, steps = total + float(loss.detach()), steps + 1
        return self._mean_over_workers(total, steps)

    def validate(self, pairs: LabelledPairs) -> float:
        """The mean loss of pairs that are not learnt from, weighted by batch size."""
        self.network.eval()
        mine_P = np.arange(len(pairs))[self.share]
        total = 0.0
        with torch.inference_mode():
            for start in range(0, len(mine_P), self.batch_size):
                chosen = mine_P[start : start + self.batch_size]
                total += float(self._loss(pairs, chosen)) * len(chosen)
        return self._mean_over_workers(total, len(mine_P))

    def _loss(self, pairs: LabelledPairs, chosen: np.ndarray) -> torch.Tensor:
        query_texts, item_texts = pairs.texts(chosen)
        made = self.network.collate(query_texts, item_texts)
        batch = {name: tensor.to(self.device, non_blocking=True) for name, tensor in made.items()}
        bf16 = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            logit_BT = self.model(**batch)
        label_BT = torch.from_numpy(pairs.label_PT[chosen].astype(np.float32)).to(self.device)
        weight_BT = torch.from_numpy(pairs.weight_PT[chosen].astype(np.float32)).to(self.device)
        return self.objective.loss(logit_BT.float(), label_BT, weight_BT)

    def _mean_over_workers(self, total: float, number: int) -> float:
        sums = torch.tensor([total, float(number)], dtype=torch.float64)
        if torch.distributed.is_initialized():
            sums = sums.to(torch.float32).to(self.device) if self.device.type == "cuda" else sums
            torch.distributed.all_reduce(sums)
        return float(sums[0] / sums[1].clamp(min=1))
