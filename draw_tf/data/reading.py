"""What the readers of files share: one array for a whole split, and a progress bar."""

from collections.abc import Iterable

import numpy as np
from tqdm import tqdm


def collect(parts: Iterable[np.ndarray], count: int, shape: tuple[int, int, int],
            name: str) -> np.ndarray:
    """Joins at most `count` images, in parts uint8 [any number, H, W, C], to one [M, H, W, C].

    No other memory is taken. On a terminal, slow reading shows a progress bar with `name`.
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
