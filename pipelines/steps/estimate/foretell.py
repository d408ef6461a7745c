"""What a run will take, by stage: time, disk and memory."""

import os

from features.files import fingerprint
from pipelines.config import RunConfig
from pipelines.steps.estimate.disk import disk_of
from pipelines.steps.estimate.load import Load
from pipelines.steps.estimate.memory import memory_of
from pipelines.steps.estimate.seconds import BETWEEN_STAGES_S, seconds_of
from pipelines.steps.estimate.words import duration, each, size_words


def estimate(config: RunConfig, load: Load) -> list[str]:
    """Return a line each for time, disk and memory, by stage: measured rates times the load."""
    seconds, disk, memory = seconds_of(config, load), disk_of(config, load), memory_of(config, load)
    total = sum(seconds.values()) + BETWEEN_STAGES_S
    most = max(memory, key=lambda name: memory[name])
    return [
        f"Time: about {duration(total)} on two cores ({each(seconds, duration, 1.0)}); here are "
        f"{os.cpu_count()}.",
        f"Disk: about {size_words(sum(disk.values()))} ({each(disk, size_words, 1e6)}).",
        f"Memory: about {memory[most]:.1f} GiB at the peak, in {most} "
        f"({each(memory, lambda gib: f'{gib:.1f}', 0.05)} GiB).",
        f"Config {fingerprint(config.model_dump(mode='json'))[:12]}.",
    ]
