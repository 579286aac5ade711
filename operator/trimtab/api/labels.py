"""Labels and annotations that trimtab puts on what it makes."""

from typing import Final

WORKLOAD: Final = "trimtab.dev/workload"
"""Name of the workload that an object belongs to."""
WORKLOAD_KIND: Final = "trimtab.dev/workload-kind"
"""Its kind: TrainingWorkload, ServingWorkload or ModelVariant."""
HARDWARE_CLASS: Final = "trimtab.dev/hardware-class"
SPEC_HASH: Final = "trimtab.dev/spec-hash"
"""Which desired pod template the object was built from."""
WORKLOAD_UID: Final = "trimtab.dev/workload-uid"
MODEL: Final = "trimtab.dev/model"
TOTAL_SAMPLES: Final = "trimtab.dev/total-samples"
GANG_SIZE: Final = "trimtab.dev/gang-size"
"""Replicas that start together; what simulates pods waits for all of them."""
SCRAPE: Final = "prometheus.io/scrape"
SCRAPE_PORT: Final = "prometheus.io/port"
ADMISSION: Final = "trimtab.dev/admission"
"""On a workload, a policy or a HardwareClass, `warn`: admission refuses nothing because of it, and only warns. On a
namespace, `ignore`: nothing in it is looked at."""
DEFAULTED_BY: Final = "trimtab.dev/defaulted-by"
"""Annotation: which fields a policy set at creation, as `path=policy` one after another."""
