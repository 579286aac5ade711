"""Where the servers of a ServingWorkload read the files of its variants."""

from typing import Annotated

from pydantic import Field

from trimtab.api.schema import ApiModel, Cel

_BY_DIGEST = "^[^@ ]+@sha256:[0-9a-f]{64}$"


class ModelRepository(ApiModel):
    """Where servers read files, in place of the claim that the variants were written to. Whatever it is, a server loads
    no file but the one that was measured: it compares digests.
    """

    image: Annotated[
        str,
        Field(max_length=512),
        Cel(
            f"self.matches('{_BY_DIGEST}')",
            "must be an OCI image by digest, such as registry.example.com/ml/digits@sha256:<64 hexadecimal digits>",
        ),
    ]
    """An OCI image or artifact, by digest, that holds what the claim does: `variants/<name>/model.onnx`. It is mounted
    as a read-only volume: Kubernetes 1.35 or newer, with containerd 2.1 or CRI-O 1.31."""
