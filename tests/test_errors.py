"""What errors say in one line."""

import os

import pytest
import tensorflow as tf

from draw_tf.errors import why


def error_of(call, *arguments):
    with pytest.raises((OSError, tf.errors.OpError)) as caught:
        call(*arguments)
    return caught.value


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for call in (file.mkdir, (file / "below").mkdir, (file / "below" / "deep").mkdir):
        assert why(error_of(call)) == f"{file} is a file, not a folder"


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    (tmp_path / "new").touch()
    (tmp_path / "folder").mkdir()
    named = f"{tmp_path / 'folder'} is a folder, not a file"
    assert why(error_of((tmp_path / "folder").read_bytes)) == named
    assert why(error_of(os.replace, tmp_path / "new", tmp_path / "folder")) == named


def test_what_the_system_says_stays(tmp_path):
    assert why(error_of((tmp_path / "no" / "file").touch)) == "No such file or directory"
    assert why(PermissionError(13, "Permission denied", "a/b")) == "a/b: Permission denied"
    assert why(OSError("in words\nand more")) == "in words"
    assert why(OSError()) == "OSError"


def test_of_tensorflow_the_reason_stays(tmp_path):
    error = error_of(tf.io.read_file, str(tmp_path / "none"))
    assert "[Op:" in str(error) and "{{" in str(error)
    assert why(error) == f"{tmp_path / 'none'}; No such file or directory"
