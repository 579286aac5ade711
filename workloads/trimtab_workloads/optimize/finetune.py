"""A short training that makes up for what pruning took."""

from __future__ import annotations

import math

import torch
from torch import nn
from trimtab_workloads.common.log import log
from trimtab_workloads.optimize.source import Source
from trimtab_workloads.train import sampling
from trimtab_workloads.train.model import DigitsCNN

BATCH = 64
# Small: a reconstructed model starts near its best, and a large step would throw that away (0.005 lost 17 points of
# accuracy
# on a model that 0.001 improved). Its weights can be large, so single gradients are bounded as well.
LEARNING_RATE = 0.001
LARGEST_GRADIENT = 1.0
# The original model's view of each image teaches more than the label alone (Hinton et al. 2015).
TEMPERATURE = 2.0
LABEL_SHARE = 0.5


def finetune(model: DigitsCNN, source: Source, epochs: int, seed: int) -> None:
    """Trains a pruned model in place, on the labels and on the original model's outputs in equal parts.

    Args:
        model: The pruned model; its masks, if any, hold.
        source: The original model and its data.
        epochs: Visits of each training sample; 0 changes nothing.
        seed: Decides order and augmentation.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=LEARNING_RATE, momentum=0.9, weight_decay=5e-4, nesterov=True)
    samples = len(source.train_x)
    steps = math.ceil(samples / BATCH) * epochs
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    for epoch in range(epochs):
        order = sampling.epoch_order(samples, seed, epoch)
        for start in range(0, samples, BATCH):
            indices = order[start : start + BATCH]
            x = torch.from_numpy(sampling.augment(source.train_x, indices, seed, epoch))
            loss = _loss(model, source.model, x, torch.from_numpy(source.train_y[indices]))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
        log("finetune_epoch", epoch=epoch + 1, loss=round(float(loss.item()), 5))


def _loss(student: DigitsCNN, teacher: DigitsCNN, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    logits = student(x)
    with torch.no_grad():
        taught = teacher(x)
    softened = nn.functional.kl_div(
        torch.log_softmax(logits / TEMPERATURE, dim=1),
        torch.softmax(taught / TEMPERATURE, dim=1),
        reduction="batchmean",
    )
    return LABEL_SHARE * nn.functional.cross_entropy(logits, y) + (1 - LABEL_SHARE) * TEMPERATURE**2 * softened
