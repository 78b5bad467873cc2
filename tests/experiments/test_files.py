"""Files are replaced whole or not at all, whatever goes wrong; a directory belongs to one run."""

import errno
import os
import subprocess
import sys

import pytest

from kernl_keras.experiments import files
from kernl_keras.experiments.files import UserError, alone, remove_parts, write_json
from kernl_keras.whole_files import whole


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole(path) as part:
        part.write_text("half of the n")
        raise KeyboardInterrupt
    assert contents(tmp_path) == {"a.txt": "old"}
    with whole(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert contents(tmp_path) == {"a.txt": "new"}


def test_the_disk_has_the_content_before_the_name_and_then_the_name(tmp_path, monkeypatch):
    """What a power cut leaves is what was flushed."""
    done, fsync, replace = [], os.fsync, os.replace

    def flushed(descriptor):
        done.append(os.readlink(f"/proc/self/fd/{descriptor}") if os.path.isdir("/proc/self/fd") else descriptor)
        fsync(descriptor)

    def replaced(source, target):
        done.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", replaced)
    write_json(tmp_path / "a.json", {})
    assert len(done) == 3 and done[1] == "replace"
    if isinstance(done[0], str):
        assert done[::2] == [str(tmp_path / ".part-a.json"), str(tmp_path)]


def test_a_folder_that_is_not_there_or_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    for folder, reason in (("missing", "No such file or directory"), ("file", "Not a directory")):
        with pytest.raises(UserError, match=rf"a\.json cannot be written: {reason}"):
            write_json(tmp_path / folder / "a.json", {})


def test_a_disk_that_fails_is_told_and_one_that_cannot_flush_is_not(tmp_path, monkeypatch):
    def fails(number):
        def fsync(descriptor):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fsync)

    fails(errno.EINVAL)
    write_json(tmp_path / "a.json", {})
    fails(errno.EIO)
    with pytest.raises(UserError, match=r"b\.json cannot be written: Input/output error"):
        write_json(tmp_path / "b.json", {})
    assert list(contents(tmp_path)) == ["a.json"]


def test_what_a_killed_process_had_begun_is_removed(tmp_path):
    for name in (".part-backup.npz", ".part-model.keras", "notes.txt", ".hidden"):
        (tmp_path / name).write_text("")
    remove_parts(tmp_path)
    assert sorted(contents(tmp_path)) == [".hidden", "notes.txt"]


HOLDER = """
import fcntl, os, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("mine", flush=True)
time.sleep(60)
"""  # what `alone` does; a process that imports it would import TensorFlow


def test_a_directory_belongs_to_one_process_until_it_dies(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "mine\n"
        with pytest.raises(UserError, match="is in use by a run in another process: wait for its end, or name another"):
            with alone(tmp_path):
                pytest.fail("two of them")
    finally:
        holder.kill()
        holder.communicate()
    for _ in range(2):  # the kernel has freed it, and so does the end of the block
        with alone(tmp_path):
            assert not list(tmp_path.iterdir())
            other = os.open(tmp_path, os.O_RDONLY)
            with pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
            os.close(other)


def test_where_there_are_no_locks_runs_go_on(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def none(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with alone(tmp_path):
        pass
    monkeypatch.setattr(files, "fcntl", None)
    with alone(tmp_path):
        pass
