"""The log after a kill: what comes again is taken out, what stays is whole, and nothing is lost."""

import pathlib
import shutil

import pytest
import tensorflow as tf
from tensorboard.compat.proto import event_pb2

from draw_tf.checkpoints import saves
from draw_tf.errors import WorkdirError
from draw_tf.training.log import keep_events
from tests.support.trainings import run


def records(path):
    """Step and tag, or what else it is, of each event in a file."""
    events = map(event_pb2.Event.FromString,
                 tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    return [(event.step, event.WhichOneof("what")) if not event.summary.value
            else (event.step, event.summary.value[0].tag) for event in events]


@pytest.fixture
def events(tmp_path):
    """A file of TensorBoard with numbers of the steps 1 to 4."""
    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default():
        for step in range(1, 5):
            tf.summary.scalar("number", 0.5, step)
    writer.close()
    (path,) = tmp_path.iterdir()
    return path


VERSION = (0, "file_version")


def test_events_after_a_step_are_taken_out(events):
    keep_events(events, 2)
    assert records(events) == [VERSION, (1, "number"), (2, "number")]
    before = events.stat()
    keep_events(events, 2)
    assert events.stat() == before  # not written again
    assert list(events.parent.iterdir()) == [events]


def test_events_that_a_kill_cut_short_are_taken_out(events):
    content = events.read_bytes()
    for cut in (1, 20, len(content) // 2):
        events.write_bytes(content[:-cut])
        keep_events(events, 4)
        kept = records(events)
        assert kept == [VERSION, (1, "number"), (2, "number"), (3, "number")][:len(kept)] != []


def test_a_file_without_events_is_removed(events):
    keep_events(events, 0)
    assert not events.exists()


def all_records(workdir):
    return sorted(record for path in (workdir / "events").glob("*/*") for record in records(path)
                  if record != VERSION)


@pytest.mark.slow
def test_a_run_that_was_killed_before_its_first_checkpoint_is_plotted_once(tmp_path, finished,
                                                                           monkeypatch):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / saves.FOLDER)
    seen, save = {}, saves.save

    def look(checkpoint, workdir, step):
        seen[step] = all_records(pathlib.Path(workdir))
        save(checkpoint, workdir, step)

    monkeypatch.setattr(saves, "save", look)
    run(tmp_path)
    assert all_records(tmp_path) == all_records(finished)
    # and before a checkpoint, all that led to it is in the files
    assert seen == {step: [record for record in all_records(finished) if record[0] <= step]
                    for step in (3, 6)}


@pytest.mark.slow
def test_a_finished_run_is_plotted_once_however_often_it_is_started(tmp_path, finished):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.gif")}
    run(tmp_path)
    assert all_records(tmp_path) == all_records(finished)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.gif")}


@pytest.mark.slow
def test_what_a_killed_run_was_writing_is_removed(tmp_path, saved_half):
    shutil.copytree(saved_half, tmp_path, dirs_exist_ok=True)
    before = {path for path in tmp_path.rglob("*") if path.suffix != ".v2"}
    (event,) = (tmp_path / "events" / "train").iterdir()
    left = [tmp_path / f".{name}.a1b2c3d4.partial" for name in (
        "config.json", "metrics.jsonl", "strokes-2.gif", "strokes.gif")]
    left.append(event.with_name(f".{event.name}.a1b2c3d4.partial"))
    for path in left:
        path.touch()
    run(tmp_path, train_steps=3)
    assert before == {path for path in tmp_path.rglob("*") if path.suffix != ".v2"}


@pytest.mark.slow
def test_settings_are_shown_once_and_again_where_they_changed(tmp_path, saved_half):
    shutil.copytree(saved_half, tmp_path, dirs_exist_ok=True)
    for steps, shown in ((3, [0]), (2, [0, 3]), (2, [0, 3])):  # nothing is left to train
        run(tmp_path, train_steps=steps, schedule="constant")
        assert [step for step, tag in all_records(tmp_path) if tag == "config"] == shown


@pytest.mark.parametrize("path, kind", [
    ("events", "file"), ("events/train", "file"), ("metrics.jsonl", "folder"),
    ("events/train/events.out.tfevents.1.v2", "folder"), ("config.json", "folder")])
def test_what_is_in_the_way_is_reported_in_one_sentence(tmp_path, path, kind):
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).mkdir() if kind == "folder" else (tmp_path / path).touch()
    with pytest.raises(WorkdirError, match=f"{tmp_path}.* cannot be ") as caught:
        run(tmp_path)
    assert len(str(caught.value).splitlines()) == 1 and "[Op:" not in str(caught.value)
    assert (tmp_path / path).exists()
