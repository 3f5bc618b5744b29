"""What people write: shares and their clients, with the rules for both.

Every rule names the field it is about. A value that got past this package may be put into an exports(5) line; the
renderer escapes it all the same.
"""

from appliance.model.changes import ShareChanges
from appliance.model.clients import Client
from appliance.model.config import Config, ConfigFile, Owner
from appliance.model.faults import fault
from appliance.model.paths import overlap
from appliance.model.shares import NAME_PATTERN, Share, ShareName, Workers

__all__ = [
    "NAME_PATTERN", "Client", "Config", "ConfigFile", "Owner", "Share", "ShareChanges", "ShareName", "Workers", "fault",
    "overlap",
]  # fmt: skip
