"""The steps that make a variant of a trained model."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from trimtab.api.quantity import Fraction
from trimtab.api.schema import ApiModel, Cel, ListSet

Epochs = Annotated[int, Field(ge=0, le=1000)]
"""Passes over the training data."""


def _above_zero(field: str) -> Cel:
    """A rule that a share which the user gave is not zero; whether it is a share at all is told by its own rule."""
    text = f"string(self.{field})"
    return Cel(
        f"!has(self.{field}) || !isQuantity({text}) || quantity({text}).compareTo(quantity('0')) != 0",
        'must be above 0 and at most 1, such as "0.5"',
        f".{field}",
    )


class PruneMethod(StrEnum):
    """How weights are taken away."""

    STRUCTURED = "structured"
    UNSTRUCTURED = "unstructured"
    SEMI_STRUCTURED = "2:4"


class Prune(ApiModel):
    """Takes away the weights that matter least, then trains briefly to recover."""

    cel_rules: ClassVar = (
        Cel(
            "(has(self.method) && self.method == '2:4') != has(self.amount)",
            "amount must be given, and not with method 2:4, which takes away two of every four weights",
            ".amount",
        ),
        Cel(
            "!has(self.amount) || !isQuantity(string(self.amount)) || "
            "(quantity(string(self.amount)).compareTo(quantity('0')) != 0 && "
            "quantity(string(self.amount)).compareTo(quantity('1')) != 0)",
            'must be above 0 and below 1, such as "0.5"',
            ".amount",
        ),
    )
    method: PruneMethod = PruneMethod.STRUCTURED
    """structured removes whole channels (smaller and faster everywhere); unstructured sets single weights to zero;
    2:4 sets the two smaller ones of every four weights to zero, which sparse tensor cores of GPUs compute twice as
    fast."""
    amount: Fraction | None = None
    """Share to take away."""
    finetune_epochs: Epochs = 3
    """Passes over the training data after pruning."""


class Distill(ApiModel):
    """Trains a smaller model of the same family, from new weights, to answer as the present one does."""

    cel_rules: ClassVar = (_above_zero("width"),)
    width: Fraction = 0.5
    """Width of the student's layers, as a share of the present ones."""
    depth: Annotated[int, Field(ge=1, le=32)] | None = None
    """Layers of the student (convolutions, encoder blocks or recurrent layers); unset means as many as before."""
    epochs: Annotated[int, Field(ge=1, le=1000)] = 10
    """Passes over the training data."""
    label_share: Fraction = 0.5
    """Weight of the true labels in what is learned; the rest is the teacher's answers."""


class Factorize(ApiModel):
    """Splits linear layers and convolutions into two thinner ones (low rank), then trains briefly to recover."""

    cel_rules: ClassVar = (_above_zero("energy"),)
    energy: Fraction = 0.9
    """Share of each layer's energy (sum of its squared singular values) to keep; the rank follows from it. Layers
    that would not get smaller stay whole."""
    finetune_epochs: Epochs = 3
    """Passes over the training data after the split."""


class QuantizeMode(StrEnum):
    """What is stored and computed in few bits, and how it is found."""

    STATIC = "static"
    DYNAMIC = "dynamic"
    WEIGHT_ONLY = "weightOnly"
    QAT = "qat"


class QuantizeDtype(StrEnum):
    """Type of the stored weights."""

    INT8 = "int8"
    INT4 = "int4"


class Quantize(ApiModel):
    """Stores weights, and but for weightOnly computes, in integers of 8 or 4 bits."""

    cel_rules: ClassVar = (
        Cel(
            "!has(self.dtype) || self.dtype == 'int8' || (has(self.mode) && self.mode == 'weightOnly')",
            "int4 is for mode weightOnly; the other modes compute in int8",
            ".dtype",
        ),
        Cel(
            "!has(self.blockSize) || (has(self.mode) && self.mode == 'weightOnly')",
            "is for mode weightOnly only",
            ".blockSize",
        ),
        Cel(
            "!has(self.finetuneEpochs) || (has(self.mode) && self.mode == 'qat')",
            "is for mode qat only: the other modes train nothing",
            ".finetuneEpochs",
        ),
    )
    mode: QuantizeMode = QuantizeMode.STATIC
    """static calibrates ranges on training data beforehand; dynamic measures them at every request, for linear
    layers; weightOnly stores the weights of linear layers in blocks and computes in float; qat trains with the rounding
    in place (quantization-aware), for what the others lose too much."""
    dtype: QuantizeDtype = QuantizeDtype.INT8
    """Type that the weights are stored in."""
    block_size: Literal[16, 32, 64, 128] | None = None
    """Weights that share a scale, with weightOnly; unset means 32."""
    finetune_epochs: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Passes over the training data, with qat; unset means 3."""


class GraphLevel(StrEnum):
    """How far ONNX Runtime rewrites the graph."""

    BASIC = "basic"
    EXTENDED = "extended"


class OptimizeGraph(ApiModel):
    """Rewrites the ONNX graph without changing what it computes: fewer, fused operations."""

    simplify: bool = True
    """Whether onnxslim folds constants and removes what is superfluous first."""
    level: GraphLevel = GraphLevel.EXTENDED
    """Of ONNX Runtime's rewrites. basic keeps to standard operators; extended fuses into ONNX Runtime's own, which only
    it can run."""


STEPS = ("prune", "distill", "factorize", "quantize", "optimizeGraph")
ORDER = Cel(
    "self.map(s, has(s.factorize) ? 1 : has(s.quantize) ? 2 : has(s.optimizeGraph) ? 3 : 0).isSorted() && "
    + " && ".join(f"self.filter(s, has(s.{name})).size() <= 1" for name in STEPS[2:]),
    "must be in this order: prune and distill (any number), then at most one each of factorize, quantize and"
    " optimizeGraph",
)
"""What a chain may look like: prune works on layers that are still whole, the last two on the exported model."""


class VariantStep(ApiModel):
    """One step. Steps run in order; the export to ONNX needs not be named."""

    cel_rules: ClassVar = (
        Cel(
            f"[{', '.join(f'has(self.{name})' for name in STEPS)}].filter(given, given).size() == 1",
            f"each step must be exactly one of {', '.join(STEPS[:-1])} and {STEPS[-1]}",
        ),
    )
    prune: Prune | None = None
    """Takes away the weights that matter least."""
    distill: Distill | None = None
    """Trains a smaller model to answer as this one does."""
    factorize: Factorize | None = None
    """Splits layers into thinner ones."""
    quantize: Quantize | None = None
    """Stores and computes in few bits."""
    optimize_graph: OptimizeGraph | None = None
    """Rewrites the exported graph into fewer operations."""


class SearchedStep(StrEnum):
    """Steps that a search may use."""

    PRUNE = "prune"
    DISTILL = "distill"
    FACTORIZE = "factorize"
    QUANTIZE = "quantize"


class SearchPrefer(StrEnum):
    """What is best among variants that the gate is likely to let pass."""

    SPEED = "Speed"
    SIZE = "Size"


class Search(ApiModel):
    """Tries chains of steps and takes the best of them. Half of the held-out samples decide, the other half confirm."""

    trials: Annotated[int, Field(ge=2, le=200)] = 20
    """Chains to try."""
    steps: Annotated[tuple[SearchedStep, ...], Field(min_length=1, max_length=4), ListSet()] = tuple(SearchedStep)
    """Steps to try; those that do not fit the model are left out."""
    prefer: SearchPrefer = SearchPrefer.SPEED
    """Speed: the least CPU time for an item; Size: the smallest file."""
