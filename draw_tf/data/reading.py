"""What the readers of files share: one array for a whole split, and a progress bar."""

from collections.abc import Iterable

import numpy as np
from tqdm import tqdm


def collect(parts: Iterable[np.ndarray], count: int, shape: tuple[int, int, int],
            name: str) -> np.ndarray:
    """Writes images one after the other into one array, which is all the memory that they take.

    On a terminal, a progress bar shows after two seconds and goes away at the end.

    Args:
      parts: uint8 [any number, H, W, C] each.
      count: how many images `parts` have together at most.
      shape: (H, W, C).
      name: of what is read, for the bar.

    Returns:
      uint8 [M, H, W, C].
    """
    pixels = np.empty((count, *shape), np.uint8)  # [count, H, W, C]
    filled = 0
    with tqdm(total=count, desc=f"Reading {name}", unit=" images", delay=2, leave=False,
              disable=None) as bar:
        for part in parts:
            pixels[filled:filled + len(part)] = part
            filled += len(part)
            bar.update(len(part))
    return pixels[:filled]
