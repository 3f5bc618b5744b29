"""The settings of the appliance: one frozen object, and the only reader of the environment.

Each field is set by an environment variable of its name in capitals behind `HOLDFAST_`, as in `HOLDFAST_NFS_GRACE=30`.
What can change while the appliance runs (the shares) is not here but in the store.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from appliance.errors import SettingsError

PREFIX = "HOLDFAST_"

Port = Annotated[int, Field(ge=1, le=65535)]


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


def _split(value: object) -> object:
    return value.split(":") if isinstance(value, str) else value


def _split_addresses(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


Addresses = Annotated[tuple[IPv4Address | IPv6Address, ...], NoDecode, BeforeValidator(_split_addresses)]
Threads = Annotated[int, Field(ge=1, le=1024)] | Literal["auto"]
Roots = Annotated[tuple[AbsolutePath, ...], NoDecode, BeforeValidator(_split), Field(min_length=1)]
"""Absolute paths; as one word, with colons between them."""


class Settings(BaseSettings):
    """All that is fixed for the life of one start of the appliance."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    state_dir: AbsolutePath = Field(
        default=Path("/var/lib/holdfast"),
        description="The state volume: shares, fsids, the clients nfsd has to wait for after a restart, the API token.",
    )
    run_dir: AbsolutePath = Field(
        default=Path("/run/holdfast"), description="What need not outlive a restart: the control socket."
    )
    exports_dir: AbsolutePath = Field(
        default=Path("/exports"),
        description="Where the shares' FUSE mounts are, and the root that NFSv4 clients see.",
    )
    exports_file: AbsolutePath = Field(
        default=Path("/etc/exports.d/holdfast.exports"),
        description="The exports(5) file that the appliance writes.",
    )
    nfs_conf_file: AbsolutePath = Field(
        default=Path("/etc/nfs.conf.d/holdfast.conf"),
        description="The nfs.conf(5) fragment that the appliance writes.",
    )
    source_roots: Roots = Field(
        default=(Path("/srv"),),
        description="Directories in which all sources lie, with colons between them; `/` for anywhere. Symbolic links "
        "that lead out of them are not followed.",
    )
    config_file: AbsolutePath = Field(
        default=Path("/etc/holdfast/shares.yaml"),
        description="The file with shares that is applied at the start and whenever it changes, if there is one.",
    )
    config_interval: float = Field(
        default=2.0, gt=0, le=3600, description="Seconds between two looks at the file with shares."
    )
    workers: int = Field(
        default=2, ge=1, le=64, description="Worker processes of a share that does not say its own number."
    )
    most_workers: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Worker processes that a share may have while some of them wait for storage that does not answer; "
        "0: four times as many as otherwise.",
    )
    slow_after: float = Field(
        default=5.0,
        gt=0,
        le=3600,
        description="Seconds at one request after which a share's state says that its storage is slow.",
    )
    passthrough: bool = Field(
        default=True,
        description="Have the kernel read and write files itself where it can; a share's state tells where it cannot, "
        "and why. A mounted share stays as it is.",
    )
    descriptors: int = Field(
        default=1024,
        ge=16,
        le=65536,
        description="Files that each worker keeps open for speed; any of them may be closed.",
    )
    nfs_v3: bool = Field(default=False, description="Serve NFSv3 as well, with rpcbind and rpc.statd, which it needs.")
    nfs_port: Port = Field(default=2049, description="TCP port of the NFS server.")
    nfs_v42: bool = Field(default=True, description="Serve NFSv4.2 as well; NFSv4.1 is always served.")
    nfs_addresses: Addresses = Field(
        default=(),
        description="Addresses that the NFS server listens on besides 127.0.0.1, with commas between them; none named: "
        "all.",
    )
    nfs_threads: Threads = Field(
        default=8, description="Threads of the kernel's NFS server; auto: by the processors and the shares' workers."
    )
    nfs_lease: int = Field(
        default=30,
        ge=10,
        le=3600,
        description="Seconds after which a silent NFSv4 client may lose its locks and opens.",
    )
    nfs_grace: int = Field(
        default=45,
        ge=10,
        le=3600,
        description="Seconds after a start in which clients may only reclaim what they had. It ends as soon as "
        "all known clients have done so, so a long one costs little.",
    )
    mountd_port: Port = Field(default=20048, description="Port of rpc.mountd, which only NFSv3 clients talk to.")
    statd_port: Port = Field(default=32765, description="Port of rpc.statd, which only NFSv3 clients talk to.")
    nfs_krb5_keytab: AbsolutePath = Field(
        default=Path("/etc/holdfast/krb5.keytab"),
        description="Key table with the key of nfs/HOST, readable by root only. If it is there at the start, "
        "rpc.svcgssd runs, and shares may ask for Kerberos.",
    )
    nfs_krb5_conf: AbsolutePath = Field(
        default=Path("/etc/holdfast/krb5.conf"), description="krb5.conf(5) of the realm, for rpc.svcgssd."
    )
    nfs_tls_certificate: AbsolutePath = Field(
        default=Path("/etc/holdfast/nfs-tls.crt"),
        description="PEM file with the NFS server's certificate and its chain. If it, its key and `nfs_tls_ca` "
        "are there at the start, tlshd runs, and shares may ask for TLS.",
    )
    nfs_tls_key: AbsolutePath = Field(
        default=Path("/etc/holdfast/nfs-tls.key"),
        description="PEM file with the key of that certificate; root's, readable by nobody else.",
    )
    nfs_tls_ca: AbsolutePath = Field(
        default=Path("/etc/holdfast/nfs-tls-ca.crt"),
        description="PEM file with the authorities that are trusted for clients' certificates, which `mtls` asks for.",
    )
    api_address: IPv4Address | IPv6Address = Field(
        default=IPv6Address("::"),
        description="Address the REST API listens on; `::` is every IPv4 and IPv6 address.",
    )
    api_port: Port = Field(default=8080, description="TCP port of the REST API.")
    api_user: str = Field(
        default="holdfast-api",
        min_length=1,
        description="User and group that the REST API's process runs as.",
    )
    api_tls_certificate: AbsolutePath | None = Field(
        default=None,
        description="PEM file with the certificate of the REST API and its chain, read by the API's user; with it the "
        "API speaks TLS only, but on the unix socket. It is read again when it changes.",
    )
    api_tls_key: AbsolutePath | None = Field(default=None, description="PEM file with the key of that certificate.")
    api_failures: int = Field(
        default=20, ge=1, le=10_000, description="Wrong tokens a minute from one address before it is turned away."
    )
    metrics_open: bool = Field(default=False, description="Answer `/metrics` without credentials.")
    docs_open: bool = Field(default=False, description="Answer `/docs` and `/openapi.json` without credentials.")
    api_require_match: bool = Field(
        default=False,
        description="Whether a change of a share is refused (428) unless it says by If-Match which revision it is "
        "made to.",
    )
    load_modules: bool = Field(
        default=False,
        description="Load the kernel's modules fuse and nfsd from /lib/modules if the kernel does not do it by itself; "
        "needs CAP_SYS_MODULE.",
    )
    command_timeout: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="Seconds that a program of the NFS side may take before it is given up.",
    )
    ready_timeout: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="Seconds that a daemon or a share's workers may take to become ready.",
    )
    reconcile_interval: float = Field(
        default=15.0,
        ge=0,
        description="Seconds between two looks whether shares are mounted and exported as they should; what somebody "
        "has changed by hand is repaired then. 0: only after changes.",
    )
    check_interval: float = Field(
        default=900.0, ge=0, description="Seconds between passive checks of each share's handles; 0: none by itself."
    )
    evict_interval: float = Field(
        default=21600.0,
        ge=0,
        description="Seconds between checks of each share's handles after the kernel was made to forget them; 0: none.",
    )
    check_samples: int = Field(
        default=1000, ge=10, le=100_000, description="Handles of each share that are kept and checked."
    )
    check_patience: float = Field(
        default=60.0, gt=0, le=3600, description="Seconds without a sign of life after which a check is given up."
    )
    canary_interval: float = Field(
        default=5.0, ge=0, description="Seconds between two looks of each share's canary; 0: no canary."
    )
    canary_patience: float = Field(
        default=30.0, gt=0, le=3600, description="Seconds without an answer to the canary that make a share unhealthy."
    )
    log_format: Literal["console", "json"] = Field(
        default="console", description="One line per fact, for people or machines."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is logged."
    )

    @model_validator(mode="after")
    def _grace_covers_lease(self) -> Self:
        # RFC 8881, 8.4.2.1: a client may notice a restart only when it next renews its lease.
        if self.nfs_grace < self.nfs_lease:
            raise ValueError(f"nfs_grace ({self.nfs_grace} s) must not be shorter than nfs_lease ({self.nfs_lease} s)")
        return self

    @model_validator(mode="after")
    def _a_certificate_has_a_key(self) -> Self:
        if (self.api_tls_certificate is None) != (self.api_tls_key is None):
            raise ValueError("api_tls_certificate and api_tls_key go together")
        return self

    @property
    def database(self) -> Path:
        """The state database."""
        return self.state_dir / "holdfast.db"

    def mountpoint(self, export_path: str) -> Path:
        """Return where a share is mounted that clients find at this path."""
        return self.exports_dir / export_path.lstrip("/")

    @property
    def token_file(self) -> Path:
        """The API's bearer token, made at the first start; root may change it, the API's group may read it."""
        return self.state_dir / "api-token"

    @property
    def nfs_state_dir(self) -> Path:
        """What nfs-utils keeps in /var/lib/nfs elsewhere: nfsdcld's database, the scope, etab, rpc.statd's list."""
        return self.state_dir / "nfs"

    @property
    def control_socket(self) -> Path:
        """Where the supervisor answers the API."""
        return self.run_dir / "control.sock"

    @property
    def api_socket(self) -> Path:
        """Where the API answers processes of this machine, known by their uid."""
        return self.run_dir / "api.sock"

    def environment(self) -> dict[str, str]:
        """Return the variables that make another process load the same settings."""
        return {f"{PREFIX}{name.upper()}": _word(value) for name, value in self if value is not None}


def _word(value: object) -> str:
    if not isinstance(value, tuple):
        return str(value)
    return (":" if value and isinstance(value[0], Path) else ",").join(map(str, value))


class ClientSettings(BaseSettings):
    """What the command line `holdfast` needs to reach the API; the defaults are right inside the container."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    url: str = Field(
        default="unix:/run/holdfast/api.sock",
        description="Address of the REST API: `http://HOST:PORT`, `https://HOST:PORT`, or `unix:PATH`, which needs no "
        "token for root.",
    )
    ca_file: Path | None = Field(
        default=None, description="File with the certificates to trust, instead of the system's."
    )
    token: str = Field(default="", repr=False, description="The API's token; without it, the file is read.")
    token_file: Path = Field(default=Path("/var/lib/holdfast/api-token"), description="The file with the API's token.")


def client() -> ClientSettings:
    """Read the environment for the command line; raises SettingsError."""
    try:
        return ClientSettings()
    except ValidationError as error:
        raise SettingsError(_sentence(error), f"set the {PREFIX}* variables as docs/settings.md describes") from None


def load() -> Settings:
    """Read the environment; raises SettingsError that names every variable at fault."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError(_sentence(error), f"set the {PREFIX}* variables as docs/settings.md describes") from None


def document() -> str:
    """Return docs/settings.md: every variable with its default and its description."""
    lines = [
        "# Settings",
        "",
        "Environment variables, read once at the start. Shares are not settings: they are added by REST and kept on",
        "the state volume. A value that makes no sense ends the start with status 78 and names the variable.",
        "",
        "| variable | default | what it is |",
        "|---|---|---|",
    ]
    lines += _rows(Settings)
    lines += [
        "",
        "The command line `holdfast` reads these instead, and has options for them:",
        "",
        "| variable | default | what it is |",
        "|---|---|---|",
        *_rows(ClientSettings),
    ]
    return "\n".join(lines) + "\n"


def _rows(settings: type[BaseSettings]) -> list[str]:
    return [
        f"| `{PREFIX}{name.upper()}` | `{_word(field.default)}` | {field.description} |"
        for name, field in settings.model_fields.items()
    ]


def _sentence(error: ValidationError) -> str:
    faults = []
    for item in error.errors(include_url=False, include_context=False):
        name = PREFIX + "_".join(str(part) for part in item["loc"]).upper() if item["loc"] else "settings"
        faults.append(f"{name}: {item['msg']}")
    return "; ".join(faults)
