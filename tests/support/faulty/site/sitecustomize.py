"""Run by every Python process that finds it on its path: puts a wrong codec in the place of the right one."""

from __future__ import annotations

import os

from tests.support.faulty import FAULT, codecs

if FAULT in os.environ:
    codecs.install(os.environ[FAULT])
