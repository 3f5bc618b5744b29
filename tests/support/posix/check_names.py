"""Names: any bytes but a slash and a zero, up to 255 of them."""

from __future__ import annotations

import os

from tests.support.posix.files import content, make
from tests.support.posix.journal import Journal

_STRANGE = {
    "latin-1": b"caf\xe9",
    "not utf-8": b"\xff\xfe\x80\x81",
    "half a character": b"\xe2\x82",
    "utf-8": "Ünïcødé 文件 🗄".encode(),
    "composed": b"\xc3\xa9",
    "decomposed": b"e\xcc\x81",
    "surrogate": b"\xed\xb2\x80",
    "newline": b"a\nb",
    "controls": bytes(range(1, 32)),
    "space": b" ",
    "dash": b"-rf",
    "dots": b"...",
    "backslash": b"a\\b",
    "upper": b"CASE",
    "lower": b"case",
    "deleted": b"file (deleted)",
}


def check_names_of_files(journal: Journal) -> None:
    for label, name in _STRANGE.items():
        journal.attempt(label, make, name, label.encode())
    journal.value("list", lambda: sorted(os.listdir(b".")))
    for label, name in _STRANGE.items():
        journal.value(f"read {label}", content, name)


def check_names_in_every_verb(journal: Journal) -> None:
    for label, name in _STRANGE.items():
        os.mkdir(label)
        os.chdir(label)
        journal.attempt(f"mkdir {label}", os.mkdir, name)
        journal.attempt(f"symlink {label}", os.symlink, name, name + b"/" + name)
        journal.value(f"readlink {label}", os.readlink, name + b"/" + name)
        journal.attempt(f"rename {label}", os.rename, name + b"/" + name, name + b"/2")
        journal.attempt(f"link {label}", os.link, name + b"/2", name + b"/" + name, follow_symlinks=False)
        journal.attempt(f"unlink {label}", os.unlink, name + b"/2")
        os.chdir("..")


def check_names_of_great_length(journal: Journal) -> None:
    for size in (254, 255, 256, 300):
        for label, call in (("file", make), ("directory", os.mkdir)):
            journal.attempt(f"{label} {size}", call, label[0] * size)
        journal.attempt(f"symlink {size}", os.symlink, "target", "s" * size)
        journal.attempt(f"rename {size}", os.rename, "f" * 255, "r" * size)
        journal.attempt(f"back {size}", os.rename, "r" * size, "f" * 255)
        journal.attempt(f"stat {size}", os.stat, "x" * size)
    journal.attempt("255 bytes in 3-byte characters", make, "文" * 85)
    journal.attempt("258 bytes in 86 characters", make, "文" * 86)


def check_paths_of_great_length(journal: Journal) -> None:
    for _ in range(20):  # deeper than any path may be long
        os.mkdir("d" * 250)
        os.chdir("d" * 250)
    make("file", b"deep")
    journal.value("relative", content, "file")
    journal.attempt("too long", os.stat, "/".join(["d" * 250] * 17))
    for _ in range(20):
        os.chdir("..")
    journal.stat("top", ".")
    descent = ["d" * 250] * 10
    os.rename("/".join(descent), "moved")


def check_names_special(journal: Journal) -> None:
    make("file")
    os.mkdir("directory")
    journal.attempt("empty", os.stat, "")
    journal.attempt("dot of a file", os.stat, "file/.")
    journal.attempt("slash after a file", os.stat, "file/")
    journal.attempt("slashes", os.stat, ".//directory///")
    journal.note("dot dot", os.path.samefile("directory/..", "."))
    journal.note("dot", os.path.samefile("directory/.", "directory"))
    journal.attempt("create dot dot", os.mkdir, "directory/..")
    journal.attempt("other case", os.stat, "FILE")
