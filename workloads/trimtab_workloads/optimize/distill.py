"""Distillation: a smaller student that learns to answer as its teacher does."""

from __future__ import annotations

from trimtab_workloads.common.config import ConfigError
from trimtab_workloads.optimize.config import Distill
from trimtab_workloads.optimize.finetune import Teaching, finetune
from trimtab_workloads.optimize.source import Source
from trimtab_workloads.train import model
from trimtab_workloads.train.architecture import Architecture, DigitsNetwork
from trimtab_workloads.train.encoder import HEADS

# The student starts from nothing, and may take large steps.
LEARNING_RATE = 0.03


def distill(teacher: DigitsNetwork, source: Source, settings: Distill, seed: int) -> DigitsNetwork:
    """Trains a student from new weights.

    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015.

    Args:
        teacher: The model as it is so far; not changed.
        source: The training data.
        settings: Width and depth of the student, and how it learns.
        seed: Of the student's weights, the order of samples and their augmentation.

    Raises:
        ConfigError: The student would be deeper than the teacher.
    """
    widths = student_widths(teacher.architecture, settings)
    student = model.create(widths, seed, teacher.architecture.family)
    teaching = Teaching(teacher.eval(), settings.epochs, seed, LEARNING_RATE, settings.label_share, keep_zeros=False)
    finetune(student, source, teaching)
    return student.eval()


def student_widths(architecture: Architecture, settings: Distill) -> tuple[int, ...]:
    """The width of each of the student's layers: those of the teacher's, taken evenly over its depth, made narrower."""
    present = architecture.channels
    depth = settings.depth or len(present)
    if depth > len(present):
        raise ConfigError(f"distill.depth: the teacher has {len(present)} layers, a student of {depth} is not smaller")
    step = HEADS if architecture.family == "digits-encoder" else 1
    chosen = (present[index * len(present) // depth] for index in range(depth))
    return tuple(max(step, round(width * settings.width / step) * step) for width in chosen)
