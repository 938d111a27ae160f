"""Photos for the tests of tasks: different ones, cheap to make."""

import numpy as np
from PIL import Image


def photo(seed, size=(12, 10)):
    """A photo that no other seed gives; (width, height)."""
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(values)


def class_folders(folder, counts, size=(12, 10)):
    """Write counts[name] photos into a subfolder of each name; return their relative paths."""
    paths, seed = [], 0
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            path = f"{name}/{index:03}.png"
            photo(seed, size).save(folder / path)
            paths.append(path)
            seed += 1
    return paths
