import errno

import pytest

from nested_lightning.errors import WriteError
from nested_lightning.utils.files import disk_of, replacing, writing


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
