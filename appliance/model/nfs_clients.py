"""NFS clients as they are told: by the supervisor, and by the API."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from appliance.model.frozen import Frozen

StateKind = Literal["open", "lock", "delegation", "layout"]


class Held(Frozen):
    """How much an NFSv4 client holds on one share."""

    share: str | None = Field(description="The share; null for what is on none, such as the root above the shares.")
    opens: int = Field(description="Files that the client has open, each as often as it has opened it.")
    locks: int = Field(description="Lock owners' states: one for each owner and file, whatever ranges are locked.")
    delegations: int = Field(description="Files that the client may cache until they are asked for back.")
    layouts: int = Field(description="pNFS layouts.")


class NfsClient(Frozen):
    """An NFSv4 client, as the kernel's NFS server knows it. What it says of itself need not be true."""

    number: int = Field(description="Number that the kernel gave it; never another client's until the server restarts.")
    address: str = Field(description="Address and port it calls from.", examples=["192.0.2.7:862"])
    name: str = Field(description="What it calls itself.", examples=["Linux NFSv4.2 workstation"])
    minor_version: int = Field(description="n of the NFSv4.n that it speaks.")
    status: str = Field(
        description="confirmed · unconfirmed: it has not finished to introduce itself · courtesy: silent for longer "
        "than its lease, kept until somebody needs what it holds · expirable: about to go."
    )
    seconds_since_renew: int | None = Field(description="For how long it has been silent; null if it is not told.")
    callback_state: str = Field(description="Whether the server reaches it, to ask for delegations back: UP, DOWN, ...")
    callback_address: str = Field(description="Where it is called back; may be empty.")
    implementation: str = Field(description="The software it says it is; may be empty.")
    held: tuple[Held, ...] = Field(description="What it holds, by share.")


class ClientState(Frozen):
    """One thing that an NFSv4 client holds."""

    kind: StateKind = Field(description="open, lock, delegation or layout.")
    access: str = Field(description="For what: r, w, rw, or empty if it is not told.")
    deny: str = Field(description="What it denies others; empty or `--` for nothing.")
    share: str | None = Field(description="The share it is on; null for none.")
    node_id: str | None = Field(description="The file's node id, in hexadecimal; null if the file is not told.")
    path: str | None = Field(
        description="The file's path below the share, bytes that are no text as \\xNN; null if it has no name any "
        "more, or was not found in time."
    )
    last_name: str = Field(
        description="The last two parts of the name that the file was opened by, as the kernel has it."
    )
    revoked: bool = Field(description="Whether an administrator has taken it away.")


class NfsClientReport(NfsClient):
    """An NFSv4 client with all it holds."""

    states: tuple[ClientState, ...] = Field(description="What it holds; the first thousand.")
    paths_complete: bool = Field(description="Whether all paths were looked for to the end.")


class MountRecord(Frozen):
    """What rpc.mountd noted of an NFSv3 client; NFSv3 has no sessions, so it may be gone since."""

    address: str = Field(description="Address or name it came from.")
    path: str = Field(description="What it mounted.")
    share: str | None = Field(description="The share that is; null for none.")
