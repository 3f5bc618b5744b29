"""The cache of built things: keys tell apart what differs, and nothing half built is ever taken for whole."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.cache import KEPT_PER_KIND, Cache, digest, digest_tree


def _write(text: str) -> Callable[[Path], None]:
    def build(home: Path) -> None:
        (home / "content").write_text(text)

    return build


def test_what_is_there_is_not_built_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    first = cache.get("disk", "k", _write("first"))
    assert cache.get("disk", "k", _write("second")) == first
    assert (first / "content").read_text() == "first"
    assert cache.has("disk", "k")
    assert not cache.has("disk", "other")


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def fail(home: Path) -> None:
        (home / "half").touch()
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        cache.get("disk", "k", fail)
    assert not cache.has("disk", "k")
    assert [path.name for path in tmp_path.iterdir()] == ["disk.lock"]


def test_what_a_killed_build_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".disk-left").mkdir()
    (tmp_path / ".diskette-left").mkdir()
    Cache(tmp_path).get("disk", "k", _write("whole"))
    assert not (tmp_path / ".disk-left").exists()
    assert (tmp_path / ".diskette-left").exists()


def test_two_at_once_build_once(tmp_path: Path) -> None:
    builds: list[Path] = []
    begun = threading.Event()
    go_on = threading.Event()

    def build(home: Path) -> None:
        builds.append(home)
        begun.set()
        assert go_on.wait(10)

    threads = [threading.Thread(target=Cache(tmp_path).get, args=("disk", "k", build)) for _ in range(2)]
    threads[0].start()
    assert begun.wait(10)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert len(builds) == 1


def test_only_the_most_recently_used_are_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.get("image", "unrelated", _write(""))
    for age, key in enumerate("abcd"):
        os.utime(cache.get("disk", key, _write(key)), (1000 + age, 1000 + age))
    cache.get("disk", "c", _write("never built"))
    cache.get("disk", "e", _write("e"))
    kept = {key for key in "abcde" if cache.has("disk", key)}
    assert kept == {"c", "d", "e"}
    assert len(kept) == KEPT_PER_KIND
    assert cache.has("image", "unrelated")


def test_keys_know_where_one_part_ends() -> None:
    assert digest(["ab", "c"]) != digest(["a", "bc"])
    assert digest(["ab", "c"]) == digest([b"ab", "c"])


def test_the_key_of_a_tree_is_its_names_modes_and_contents(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("x")
    key = digest_tree(tmp_path, ["tree"])
    os.utime(tree / "file", (1, 1))
    assert digest_tree(tmp_path, ["tree"]) == key
    (tree / "file").chmod(0o755)
    executable = digest_tree(tmp_path, ["tree"])
    (tree / "file").rename(tree / "elif")
    renamed = digest_tree(tmp_path, ["tree"])
    (tree / "elif").write_text("y")
    changed = digest_tree(tmp_path, ["tree"])
    assert len({key, executable, renamed, changed}) == 4
