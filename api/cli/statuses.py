"""The exit statuses of `holdfast`; docs/exit-codes.md tells them to people."""

from __future__ import annotations

FINE = 0
WRONG = 1
"""What was asked about is not as it should be."""
NOT_DONE = 2
"""It could not be done, or nobody can say; argparse uses it for wrong arguments as well."""
