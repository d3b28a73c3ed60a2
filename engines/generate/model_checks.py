"""What a model cannot do, said before anything is loaded."""

from engines.core.bundle import Bundle, Task
from engines.core.errors import UsageError


def check_task(bundle: Bundle, task: Task) -> None:
    """UsageError for a model that was trained for the other command."""
    facts = bundle.facts
    if facts.task != task:
        raise UsageError(f"the model {facts.name} is for scd {facts.task}, not for scd {task}", "name another with --model, or none")


def check_sampling(bundle: Bundle, steps: int | None, sampler: str) -> None:
    """UsageError for more steps than the schedule has, and for LCM's sampler on a model that is not distilled."""
    facts = bundle.facts
    longest = facts.schedule.train_timesteps
    if steps is not None and not 1 <= steps <= longest:
        raise UsageError(f"--steps {steps} is more than the {longest} that the model {facts.name} knows", f"use 1 to {longest}")
    if sampler == "lcm" and not facts.sampling.distilled:
        raise UsageError(f"--sampler lcm needs a model distilled for few steps, and {facts.name} is none", "use --sampler dpm++2m")
