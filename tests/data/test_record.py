"""What a run does when its data are no longer those it began with."""

import numpy as np
import pytest

from draw_tf import data, errors
from draw_tf.data.record import DATA
from draw_tf.evaluation import evaluate_run
from tests.support import trainings
from tests.support.data_sets import noisy
from tests.support.picture_files import save


def split(indices, name):
    """Some of 20 images."""
    return data.Images(noisy(20).pixels[list(indices)], 1, "some", name)


def record(workdir, train, held_out, step=5):
    """What has changed; and what is left to train on and held out, as it lies in memory."""
    train, held_out, changes = data.keep_apart(
        workdir, workdir, split(train, "train"), split(held_out, "test"), step)
    pixels = noisy(20).pixels
    return changes, *([next(k for k in range(20) if (pixels[k] == image).all())
                       for image in images.pixels] for images in (train, held_out))


def test_what_has_changed_is_said_once(tmp_path):
    assert record(tmp_path, range(10), range(10, 13))[0] == []  # of a version without a record
    assert record(tmp_path, range(10), range(10, 13))[0] == []
    assert record(tmp_path, range(9, -1, -1), (12, 10, 11))[0] == []  # the order does not matter
    assert record(tmp_path, range(2, 10), (10, 11, 12, 13))[0] == [
        "images of some/train 10 -> 8 (0 new and 2 gone)",
        "images of some/test 3 -> 4 (1 new and 0 gone)"]
    assert record(tmp_path, [*range(2, 9), 15], (10, 11, 12, 13))[0] == [
        "images of some/train 8 -> 8 (1 new and 1 gone)"]
    assert record(tmp_path, [*range(2, 9), 15], (10, 11, 12, 13))[0] == []


def test_what_was_held_out_stays_held_out(tmp_path):
    record(tmp_path, [*range(10), 12], range(10, 14))  # 12 is in both from the start
    assert record(tmp_path, [11, *range(12), 12], (14, 13, 12)) == (
        ["images of some/test 4 -> 6 (1 new and 0 gone)"], [*range(10), 12], [14, 13, 12, 11, 10,
                                                                              11])
    assert record(tmp_path, range(13), range(13, 16), step=0)[1:] == (  # nothing was learned yet
        [*range(13)], [13, 14, 15])


def test_what_was_trained_on_is_not_held_out(tmp_path):
    record(tmp_path, range(10), range(10, 14))
    before = (tmp_path / DATA).read_bytes()
    with pytest.raises(errors.ConfigError, match="trained on 2 of the images of some/test, which"
                       ) as caught:
        record(tmp_path, range(8), (8, 9, 10))
    assert f"--workdir={tmp_path}" in str(caught.value)
    assert (tmp_path / DATA).read_bytes() == before


def test_a_damaged_record_is_named(tmp_path):
    record(tmp_path, range(10), range(10, 14))
    whole = (tmp_path / DATA).read_bytes()
    for content in (b"", whole[:100], b"text", whole[:-30]):
        (tmp_path / DATA).write_bytes(content)
        with pytest.raises(errors.WorkdirError, match=f"{DATA} cannot be read: remove it"):
            record(tmp_path, range(10), range(10, 14))


def test_training_on_a_folder_that_grows(tmp_path, monkeypatch, capsys):
    random, home, run = np.random.RandomState(0), tmp_path / "pictures", tmp_path / "run"

    def take(*names):
        for name in names:
            save(home / f"{name}.bmp", random.randint(0, 256, (8, 6, 3), np.uint8))

    def train(**changes):
        name = f"folder:{home}"
        monkeypatch.setattr(trainings, "IMAGES", [
            data.load(name, part, shape=trainings.MODEL.image_shape) for part in ("train", "test")])
        trainings.run(run, dataset=name, image_size="8,6", image_channels=1, batch_size=8,
                      **changes)
        return trainings.IMAGES

    take(*"abcde")
    images, held_out = train(train_steps=2)  # a batch is more than there is
    assert "changed" not in capsys.readouterr().out
    with trainings.float64():
        report = evaluate_run(run, batch_size=4, jit_compile=False)
    assert report["examples"] == len(held_out) and report["split"] == "test"
    take(*(f"0{number}" for number in range(20)))  # sort before the others
    train(train_steps=4)
    said = capsys.readouterr().out
    assert f"images of folder:{home}/train {len(images)} -> " in said
    assert said.index("changed") < said.index("step 4")
