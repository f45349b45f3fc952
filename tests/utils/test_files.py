import errno
import os
import signal

import pytest
from helpers.locked import locked_by_another_process
from helpers.refusing import refusing

from nested_lightning.errors import ConfigurationError, WriteError
from nested_lightning.utils.files import FolderLock, disk_of, replacing, writing


def test_the_message_names_file_disk_and_remedy(tmp_path):
    path = tmp_path / "a" / "metrics.csv"
    with pytest.raises(WriteError) as error, writing(path):
        raise OSError(28, "No space left on device")
    for word in (str(path), "No space left on device", "MB free on the disk at /", "default_root_dir"):
        assert word in str(error.value)


def test_space_is_named_only_if_it_is_missing(tmp_path):
    with pytest.raises(WriteError) as error, writing(tmp_path / "page.html", "choose another --out"):
        raise PermissionError(errno.EACCES, "Permission denied")
    assert str(error.value) == f"{tmp_path / 'page.html'} cannot be written (Permission denied): choose another --out"
    full = pytest.raises(WriteError, match=r"MB free on the disk at /.*: free some space or choose another --out$")
    with full, writing(tmp_path / "page.html", "choose another --out"):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")


def test_a_folder_that_is_not_there_yet_lies_on_a_disk(tmp_path):
    assert disk_of(tmp_path / "a" / "b") == disk_of(tmp_path / "a")


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "new" / "config.yaml"
    with replacing(path) as temporary, open(temporary, "w") as file:
        file.write("first")
    assert path.read_text() == "first"

    def fail():
        with replacing(path) as temporary, open(temporary, "w") as file:
            file.write("half of the sec")
            raise OSError(28, "No space left on device")

    with pytest.raises(WriteError):
        fail()
    assert path.read_text() == "first"
    assert [p.name for p in path.parent.iterdir()] == ["config.yaml"]


def test_a_folder_is_reserved_by_one_process(tmp_path):
    folder = tmp_path / "run"
    with locked_by_another_process(folder) as process:
        owner = (folder / "run.lock").read_text().strip()
        assert owner.startswith(f"process {process} on ")
        with refusing(ConfigurationError, str(folder), owner, "mix their files", "default_root_dir"):
            FolderLock(folder)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    lock = FolderLock(folder)  # what a killed process has left does not block
    assert (folder / "run.lock").read_text().startswith(f"process {os.getpid()} on ")
    lock.release()
    lock.release()
    assert list(folder.iterdir()) == []


def test_a_folder_made_for_the_lock_alone_is_removed(tmp_path):
    FolderLock(tmp_path / "run").release()
    FolderLock(tmp_path).release()
    assert list(tmp_path.iterdir()) == []


def test_a_forked_process_does_not_keep_the_lock(tmp_path):
    lock, child = FolderLock(tmp_path), os.fork()
    if child == 0:  # such as a worker of a data loader, which outlives a killed run for a while
        signal.pause()
    lock.release()
    with locked_by_another_process(tmp_path):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
