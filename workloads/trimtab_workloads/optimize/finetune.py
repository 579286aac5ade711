"""A short training that makes up for what pruning took."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from trimtab_workloads.common.log import log
from trimtab_workloads.optimize.source import Source
from trimtab_workloads.train import sampling

BATCH = 64
# Small: a reconstructed model starts near its best, and a large step would throw that away (0.005 lost 17 points of
# accuracy on a
# model that 0.001 improved). Its weights can be large, so single gradients are bounded as well.
LEARNING_RATE = 0.001
LARGEST_GRADIENT = 1.0
# The original model's view of each image teaches more than the label alone (Hinton et al. 2015).
TEMPERATURE = 2.0
LABEL_SHARE = 0.5


@dataclass(frozen=True)
class Teaching:
    """How a model is trained by another one."""

    teacher: nn.Module
    """Whose outputs are learned beside the labels."""
    epochs: int
    """Visits of each training sample; 0 changes nothing."""
    seed: int
    """Decides order and augmentation."""
    learning_rate: float = LEARNING_RATE
    """At the beginning; it falls to zero along a cosine."""
    label_share: float = LABEL_SHARE
    """Weight of the labels in the loss."""
    keep_zeros: bool = True
    """Whether weights that are zero stay so: what an earlier step pruned."""


def finetune(model: nn.Module, source: Source, teaching: Teaching) -> None:
    """Trains a model in place, on the labels and on a teacher's outputs; its masks, if any, hold."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    zeros = _zeros(parameters) if teaching.keep_zeros else []
    optimizer = torch.optim.SGD(parameters, lr=teaching.learning_rate, momentum=0.9, weight_decay=5e-4, nesterov=True)
    samples = len(source.train_x)
    steps = math.ceil(samples / BATCH) * teaching.epochs
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    for epoch in range(teaching.epochs):
        order = sampling.epoch_order(samples, teaching.seed, epoch)
        for start in range(0, samples, BATCH):
            indices = order[start : start + BATCH]
            x = torch.from_numpy(sampling.augment(source.train_x, indices, teaching.seed, epoch))
            loss = _loss(model, teaching, x, torch.from_numpy(source.train_y[indices]))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                for parameter, zero in zeros:
                    parameter[zero] = 0.0
        log("finetune_epoch", epoch=epoch + 1, loss=round(float(loss.item()), 5))


def _zeros(parameters: list[nn.Parameter]) -> list[tuple[nn.Parameter, torch.Tensor]]:
    """Where weight matrices are zero, of those that are so anywhere."""
    found = [(parameter, parameter.detach() == 0) for parameter in parameters if parameter.dim() > 1]
    return [(parameter, zero) for parameter, zero in found if zero.any()]


def _loss(student: nn.Module, teaching: Teaching, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    logits = student(x)
    with torch.no_grad():
        taught = teaching.teacher(x)
    softened = nn.functional.kl_div(
        torch.log_softmax(logits / TEMPERATURE, dim=1),
        torch.softmax(taught / TEMPERATURE, dim=1),
        reduction="batchmean",
    )
    labels = nn.functional.cross_entropy(logits, y)
    return teaching.label_share * labels + (1 - teaching.label_share) * TEMPERATURE**2 * softened
