"""Quantization-aware training, by torchao."""

from __future__ import annotations

import copy

import torchao.quantization.pt2e as pt2e
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

import torch
from torch import nn
from trimtab_workloads.optimize.export import example
from trimtab_workloads.optimize.finetune import Teaching, finetune
from trimtab_workloads.optimize.source import Source
from trimtab_workloads.train.architecture import DigitsNetwork


def train_quantized(network: DigitsNetwork, source: Source, epochs: int, seed: int, reduce_range: bool) -> nn.Module:
    """Trains with the rounding of weights and activations to 8 bits in the forward pass, then makes it real.

    Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference", CVPR
    2018. Which layers are rounded and how is torchao's for x86 CPUs: per channel for weights, per tensor for
    activations.

    Args:
        network: The trained model; not changed.
        source: The original model, which teaches, and the data.
        epochs: Visits of each training sample.
        seed: Of the order of samples and their augmentation.
        reduce_range: 7 bits for weights, for CPUs without VNNI.

    Returns:
        The model with its weights in integers, ready to be exported.
    """
    arguments, shapes = example()
    # A copy: what is exported shares its weights, and the source must stay what it is.
    exported = torch.export.export(copy.deepcopy(network).eval(), arguments, dynamic_shapes=shapes).module()
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config(is_qat=True, reduce_range=reduce_range))
    prepared = prepare_qat_pt2e(exported, quantizer)
    finetune(prepared, source, Teaching(source.model, epochs, seed))
    pt2e.move_exported_model_to_eval(prepared)
    return convert_pt2e(prepared)
