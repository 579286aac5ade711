"""What holding replicas on a hardware class costs for each hour: money, power, carbon."""

from trimtab.api.common import Rate, Resources
from trimtab.plan.policy import EffectivePolicy
from trimtab.plan.snapshot import HardwareState

_HOURS_PER_YEAR = 8766.0


def units_per_replica(resources: Resources, hardware: HardwareState) -> float:
    """Units of the class's resource that one replica holds."""
    return resources.cpu if hardware.spec.resource_name == "cpu" else float(resources.accelerators)


def offers(resources: Resources, hardware: HardwareState) -> bool:
    """Whether the class can do this kind of work: accelerators where they are asked for, CPU where not."""
    wants_accelerators = resources.accelerators > 0
    return wants_accelerators == (hardware.spec.resource_name != "cpu")


def embodied_grams_per_hour(hardware: HardwareState) -> float:
    """Embodied carbon of one node, spread evenly over its life (gCO2e/h)."""
    embodied = hardware.spec.embodied
    if embodied is None:
        return 0.0
    return embodied.kilograms * 1000.0 / (embodied.lifetime_years * _HOURS_PER_YEAR)


def rate_of(
    hardware: HardwareState,
    units: float,
    utilization: float,
    intensity_grams_per_kwh: float | None,
    accelerator_watts: float | None = None,
) -> Rate:
    """The rate of a holding.

    Args:
        hardware: The class.
        units: Units of its resource held, over all replicas.
        utilization: Share of them at work, 0..1.
        intensity_grams_per_kwh: Of its grid; None counts operational carbon as unknown, that is as zero here.
        accelerator_watts: Declared power of all that is held, in place of the class's linear model.
    """
    nodes = units / hardware.units_per_node if hardware.units_per_node > 0 else 0.0
    power = hardware.spec.power
    modelled = nodes * (power.idle_watts + (power.peak_watts - power.idle_watts) * utilization)
    watts = (accelerator_watts if accelerator_watts is not None else modelled) * hardware.spec.pue
    return Rate(
        cost_usd_per_hour=nodes * hardware.spec.price.usd_per_hour,
        power_watts=watts,
        carbon_grams_per_hour=watts / 1000.0 * (intensity_grams_per_kwh or 0.0)
        + nodes * embodied_grams_per_hour(hardware),
    )


def priced(rate: Rate, policy: EffectivePolicy) -> float:
    """Cost plus priced carbon (US dollars an hour): what choices are compared by."""
    return rate.cost_usd_per_hour + rate.carbon_grams_per_hour * policy.carbon_price_usd_per_gram


def limit_broken(rate: Rate, policy: EffectivePolicy, share: float = 1.0) -> str:
    """Which limit of the policy a rate breaks, with the figures; empty when it fits.

    Args:
        rate: What would be spent.
        policy: The limits.
        share: The part of each limit that may be used.
    """
    checks = (
        ("cost", rate.cost_usd_per_hour, policy.max_cost_usd_per_hour, "USD/h"),
        ("carbon", rate.carbon_grams_per_hour, policy.max_carbon_grams_per_hour, "gCO2e/h"),
        ("power", rate.power_watts, policy.max_power_watts, "W"),
    )
    for name, value, limit, unit in checks:
        if limit is not None and value > limit * share * (1 + 1e-9):
            return f"{name} {value:.3g} {unit} is above the limit of {limit:.3g} {unit}"
    return ""
