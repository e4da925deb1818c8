"""What the readers of files share: one array for a whole split, and a progress bar."""

from collections.abc import Iterable

import numpy as np
from tqdm import tqdm


def collect(parts: Iterable[np.ndarray], count: int, shape: tuple[int, int, int],
            name: str) -> np.ndarray:
    """At most `count` images, in parts of uint8 [any number, H, W, C], as one array [M, H, W, C].

    Only that array takes memory. Reading that takes long shows a bar with `name` on a terminal.
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
