"""Which steps of sampling run the whole network and which reuse deep features of the last whole run (DeepCache). Standard library only."""


def full_step(number: int, every: int) -> bool:
    """Whether step `number` (from 1) runs in full: steps 1, 1 + every, 1 + 2 every, ... (Ma et al. 2024, uniform 1:N inference).

    `every` 1 runs all in full. ValueError where either is below 1.
    """
    if number < 1 or every < 1:
        raise ValueError(f"step {number} and reuse {every} must be at least 1")
    return (number - 1) % every == 0
