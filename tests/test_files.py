"""Files are written whole or not at all, and a place that cannot be written is found early."""

import json
import os
import pathlib
import stat

import pytest

from draw_tf import files
from draw_tf.errors import ConfigError, WorkdirError


@pytest.mark.parametrize("content, written", [(b"\x00\xff", b"\x00\xff"), ("é\n", b"\xc3\xa9\n")])
def test_content_replaces_what_was_there(tmp_path, content, written):
    path = tmp_path / "file"
    for _ in range(2):
        files.write_whole(path, content)
        assert path.read_bytes() == written
        path.write_text("older and longer")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_json_is_indented_and_ends_its_last_line(tmp_path):
    files.write_json(str(tmp_path / "a.json"), {"a": [1.5, None]})
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"a": [1.5, None]} and text.startswith('{\n  "a"')
    assert text.endswith("}\n")
    with pytest.raises(TypeError):
        files.write_json(tmp_path / "a.json", {"a": object()})
    assert (tmp_path / "a.json").read_text() == text


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, function):
    path = tmp_path / "file"
    path.write_text("old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, function, interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_whole(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_the_content_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: order.append(
        ("fsync", os.fstat(file).st_size)) or fsync(file))
    monkeypatch.setattr(os, "replace", lambda *paths: order.append("replace") or replace(*paths))
    files.write_whole(tmp_path / "file", b"123")
    assert order == [("fsync", 3), "replace"]


def test_a_file_keeps_its_mode_and_a_new_one_has_the_usual_mode(tmp_path):
    path, usual = tmp_path / "file", tmp_path / "usual"
    usual.touch()
    files.write_whole(path, "new")
    assert path.stat().st_mode == usual.stat().st_mode
    path.chmod(0o640)
    files.write_whole(path, "newer")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_what_a_killed_write_left_is_removed_and_nothing_else(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: None)  # as if killed before
        files.write_whole(tmp_path / "a.gif", b"")
    others = {".a.gif.partial", "b.a.gif.12345678.partial", ".c.json.12345678.partial", "a.gif"}
    for name in others:
        (tmp_path / name).touch()
    assert len(list(tmp_path.iterdir())) == 5
    files.remove_partial(tmp_path, "a*.gif")
    assert {path.name for path in tmp_path.iterdir()} == others


def test_a_file_in_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(OSError):
        files.write_whole(tmp_path / "no" / "file", "text")


@pytest.mark.parametrize("path, words", [
    ("", "must be a file, and .* is a folder"),
    ("no/x.json", "cannot be written: .*no is not a folder"),
    ("file/x.json", "cannot be written: .*file is not a folder"),
])
def test_outputs_that_cannot_be_written_are_refused_before_the_work(tmp_path, path, words):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=f"^json {words}"):
        files.check_output("json", tmp_path / path)


def test_a_folder_that_may_not_be_written_to_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)  # as for another user
    with pytest.raises(ConfigError, match="json cannot be written"):
        files.check_output("json", tmp_path / "x.json")


def test_endings_are_checked_in_any_case(tmp_path):
    with pytest.raises(ConfigError, match=r"out must end in \.gif or \.png, got .*x\.jpg"):
        files.check_output("out", tmp_path / "x.jpg", ".gif", ".png")
    files.check_output("out", tmp_path / "x.PNG", ".gif", ".png")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- paths, and what is there


def test_a_tilde_is_the_home_folder_once(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for path in ("~/x", pathlib.Path("~/x"), b"~/x", files.local_path("~/x")):
        assert files.local_path(path) == tmp_path / "x"
    assert files.local_path("~") == tmp_path
    for path in ("a/~", "a~b", "/~/x"):
        assert str(files.local_path(path)) == path
    odd = files.local_path("./~/x")  # a folder of that name
    assert odd == files.local_path(odd) == tmp_path / "~" / "x"


@pytest.mark.parametrize("home", [None, ""])
def test_without_a_home_folder_a_tilde_is_refused(monkeypatch, home):
    if home is None:
        monkeypatch.delenv("HOME")
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as without a passwd entry
    else:
        monkeypatch.setenv("HOME", home)
    with pytest.raises(ConfigError, match="^json ~/x begins with ~, and no home folder"):
        files.local_path("~/x", "json")
    with pytest.raises(WorkdirError):
        files.local_path("~", "workdir", WorkdirError)
    assert str(files.local_path("x/~")) == "x/~"


def test_a_user_who_is_not_there_has_no_home():
    with pytest.raises(ConfigError, match="out ~nobody-of-that-name/x begins with ~"):
        files.local_path("~nobody-of-that-name/x", "out")


def test_what_tensorflow_would_misunderstand_is_refused():
    assert files.tensorflow_path("é/π") == pathlib.Path("é/π")
    for path in ("a*", "a?", "[a]", "a\\b", os.fsdecode(b"a\xff"), "a\0b"):
        with pytest.raises(WorkdirError, match="^workdir "):
            files.tensorflow_path(path, "workdir", WorkdirError)


def test_functions_that_write_know_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    files.check_output("json", "~/a.json", ".json")
    files.write_json("~/a.json", 1)
    assert (tmp_path / "a.json").read_text() == "1\n"


def test_names_as_long_as_a_disk_allows_are_written_and_longer_ones_refused(tmp_path):
    for letter, count in (("x", 250), ("π", 125)):
        path = tmp_path / (letter * count + ".json")
        files.check_output("json", path)
        files.write_json(path, 1)
        assert path.read_text() == "1\n"
    with pytest.raises(ConfigError, match="^json cannot be written: File name too long"):
        files.check_output("json", tmp_path / ("x" * 300))


def test_letters_that_are_no_unicode_are_escaped_in_what_is_written(tmp_path):
    files.write_whole(tmp_path / "a", "a\udcff")
    assert (tmp_path / "a").read_bytes() == b"a\\udcff"


def test_what_is_not_a_regular_file_needs_no_folder_to_write_to(monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) == os.devnull)
    files.check_output("json", os.devnull)


def refuse(path):
    raise PermissionError(13, "Permission denied", str(path))


def test_what_may_not_be_seen_is_not_absent(tmp_path, monkeypatch):
    (tmp_path / "a").touch()
    assert files.exists(tmp_path / "a")
    assert not files.exists(tmp_path / "b") and not files.exists(tmp_path / "a" / "b")
    assert files.found(tmp_path, "*") == [tmp_path / "a"] == files.found(tmp_path, "[a]")
    assert files.found(tmp_path, "b*") == [] == files.found(tmp_path / "b", "*")
    with pytest.raises(NotADirectoryError):
        files.found(tmp_path / "a", "*")
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", refuse)
        with pytest.raises(PermissionError):
            files.exists(tmp_path / "a")
    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(PermissionError):
        files.found(tmp_path, "*")
    with pytest.raises(PermissionError):
        files.remove_partial(tmp_path, "a")


def test_access_is_checked_at_every_depth(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").touch()
    files.check_access(tmp_path / "none")
    files.check_access(tmp_path)
    for bad, mode in (("a/b/file", os.R_OK), ("a/b", os.W_OK), ("a/b", os.X_OK), ("a", os.R_OK)):
        with monkeypatch.context() as patch:
            patch.setattr(os, "access", lambda path, asked, bad=bad, mode=mode: not (
                str(path) == str(tmp_path / bad) and asked & mode))
            with pytest.raises(PermissionError, match=bad):
                files.check_access(tmp_path)
            files.check_access(tmp_path, below=False)
