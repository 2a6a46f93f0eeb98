"""What a plan is told besides the run: prices, processes, how long to probe, and the machine where it is another one."""

from dataclasses import dataclass

from monoseme.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """Settings of a plan."""

    probe: bool = True
    """Run the first steps in a process of their own, to measure speed and memory. Without: sizes and formulas only."""
    probe_seconds: float = 20.0
    """About how long the probe runs after its start (seconds): a whole number of log windows, at least two."""
    price_per_hour: float | None = None
    """Price of one device for one hour, in any currency. None: no cost."""
    processes: int = 1
    """Processes, each with a device of its own, among which the run is divided (count)."""
    link_gb_per_s: float = 10.0
    """What a process sends to another per second, where there are several (10^9 bytes/s)."""
    memory_gb: float | None = None
    """Memory of each device (10^9 bytes). None: what is free on this machine."""
    disk_gb: float | None = None
    """Space for what is written (10^9 bytes). None: what is free where --out lies."""

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that are not above 0."""
        for name in ("probe_seconds", "price_per_hour", "processes", "link_gb_per_s", "memory_gb", "disk_gb"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"plan.{name} is {value:g}; it must be above 0")
