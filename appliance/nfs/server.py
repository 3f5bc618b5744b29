"""The NFS server as the supervisor sees it: exports in force, threads, and letting go of a filesystem."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import CommandError
from appliance.linux import files
from appliance.logs import facts
from appliance.model.numbers import ServerNumbers
from appliance.nfs import counters, daemons, lock_holders, null_call, protectors, scope, unanswered
from appliance.nfs.clients import Info, State, parse_rmtab
from appliance.nfs.commands import complete, failure, run
from appliance.nfs.exports import parse_etab, resolved
from appliance.nfs.knfsd import Knfsd
from appliance.nfs.nfsd_files import NfsdFiles, holds_open
from appliance.settings import Settings

_LOG = facts(__name__)
_ANSWER_SECONDS = 5.0
_MORE_STARTS = 20
_UNRESOLVED = "exportfs: Failed to resolve "


@dataclass(frozen=True)
class Exported:
    """What is exported: the text of the exports file in force, and the (path, client) pairs of exportfs's table."""

    text: str = ""
    pairs: frozenset[tuple[str, str]] = frozenset()


class NfsServer:
    """Changes and observes exports and threads. One caller at a time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        """Those that the server is started with."""
        self._knfsd: Knfsd | None = None
        self._scope = ""

    def use(self, nfsd: Path) -> None:
        """Speak to the kernel through the nfsd filesystem that is found at this path."""
        self._knfsd = Knfsd(NfsdFiles(nfsd, self.settings.command_timeout), scope.within(self._scope))

    def prepare(self) -> None:
        """Write nfs.conf, make the directories that the daemons expect, and find the scope. Raises OSError."""
        state = self.settings.nfs_state_dir
        for directory in (state, state / "nfsdcld"):
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        (state / "nfsdcld").chmod(0o700)  # names of clients, which are nobody else's business
        for name in ("etab", "rmtab"):  # nfs-utils complains where it finds none
            (state / name).touch()
        self._scope = scope.kept(state / "scope")
        _write(self.settings.nfs_conf_file, daemons.conf(self.settings))
        _write(protectors.idmapd_conf_file(self.settings), protectors.idmapd_conf(self.settings))
        _write(protectors.tlshd_conf_file(self.settings), protectors.tlshd_conf(self.settings))

    async def threads(self) -> int:
        """Return the number of running server threads."""
        return await self._mounted().threads()

    async def set_threads(self, threads: int) -> None:
        """Start the server, change its number of threads, or stop it with 0. Raises CommandError."""
        knfsd = self._mounted()
        if not threads:
            await knfsd.stop()  # `rpc.nfsd 0` mounts nothing, and so finds nothing to stop
        elif await knfsd.threads():
            await self._run_nfsd(threads)
        else:
            await self._start(threads)
        _LOG.info("the NFS server has threads", threads=threads)

    async def _start(self, threads: int) -> None:
        """Start the server, with nfsdcld.

        The kernel makes nfsdcld's pipe when it starts, and waits a second for nfsdcld to open it
        (nfsd4_cld_tracking_init()). A busy machine may take longer, and then the kernel goes on without for as long as
        it runs. Its clients could reclaim nothing; so it is started anew at once, while they have nothing.
        """
        if self.settings.nfs_v3:
            self._to_tell.touch()
        await self._run_nfsd(threads)
        for _ in range(_MORE_STARTS):
            if self.tracks_clients():
                break
            _LOG.warning("nfsdcld came too late for the NFS server, which is started anew")
            await self._mounted().stop()
            await self._run_nfsd(threads)
        await self.tell_clients()

    async def tell_clients(self) -> None:
        """Have NFSv3 clients told that their locks ended with the server before, unless that was done since.

        Not before this one has its threads: a client whose first try to reclaim fails does not try again
        (nlmclnt_reclaim()).
        """
        if not self._to_tell.exists() or not await self.threads():
            return
        statd = daemons.statd_dir(self.settings)
        lock_holders.end_notifier(statd)
        for argv in (lock_holders.put_back(statd), lock_holders.notify(statd)):
            try:
                await run(argv, timeout=self.settings.command_timeout)
            except CommandError as error:
                _LOG.error("NFSv3 clients may not hear of the restart, and lose their locks", reason=error)
        self._to_tell.unlink()

    @property
    def _to_tell(self) -> Path:
        """A file that is there from before a start until NFSv3 clients hear of it, whoever dies meanwhile."""
        return self.settings.run_dir / "nfsv3-clients-to-tell"

    async def _run_nfsd(self, threads: int) -> None:
        # rpc.nfsd wants nfsd at its usual place and mounts it there itself: in a namespace that ends with it.
        argv = ["unshare", "--mount", "--", *daemons.nfsd(self.settings, threads)]
        await run([*scope.within(self._scope), *argv], timeout=self.settings.command_timeout)

    def tracks_clients(self) -> bool:
        """Whether the kernel has a pipe to nfsdcld, which it removes if it goes on without."""
        return (daemons.PIPEFS / "nfsd" / "cld").exists()

    def exported(self) -> Exported:
        """Return what is exported. Reads two small files of ours."""
        return Exported(_read(self._in_force), parse_etab(_read(self.settings.nfs_state_dir / "etab")))

    async def export(self, wanted: Exported, unserved: Collection[Path]) -> None:
        """Put these exports, and no other, in force; raises CommandError.

        A client whose host name has no address is left out: the others, and other shares, do not wait for DNS.
        `unserved` are exported paths that are not mounted now, which exportfs notes with an error and remembers.
        """
        self._in_force.unlink(missing_ok=True)  # what fails, or dies, from here on has to be done again
        _write(self.settings.exports_file, wanted.text)
        argv = ["exportfs", "-ra"]
        done = await complete(argv, timeout=self.settings.command_timeout)
        complaints = {line for line in done.complaint.splitlines() if not any(str(path) in line for path in unserved)}
        unresolved = {line for line in complaints if line.startswith(_UNRESOLVED)}
        if complaints - unresolved and done.status != 0:
            raise failure(argv, "; ".join(sorted(complaints - unresolved)))
        there = self.exported().pairs
        if wrong := there - wanted.pairs | resolved(wanted.pairs - there):
            raise failure(argv, f"exports are not as wanted: {sorted(wrong)}")
        await self.flush()
        await self._answer(wanted.text, unserved)
        _write(self._in_force, wanted.text)
        for line in sorted(complaints):
            _LOG.warning("exportfs complained", output=line)
        _LOG.info("exports are in force", exports=len(there))

    async def _answer(self, exports: str, unserved: Collection[Path]) -> None:
        """Tell clients that were kept waiting for a share that it is there. What fails they find out by themselves."""
        paths = {fsid: path for fsid, path in unanswered.served(exports).items() if Path(path) not in unserved}
        try:
            answered = await unanswered.answer(paths, self.settings.command_timeout)
        except (OSError, CommandError) as error:
            _LOG.warning("clients may wait two minutes longer for a share that is back", reason=error)
        else:
            if answered:
                _LOG.info("clients were kept waiting, and are told", questions=answered)

    async def flush(self) -> None:
        """Make the kernel forget what rpc.mountd told it, and close the files it keeps open for speed."""
        await run(["exportfs", "-f"], timeout=self.settings.command_timeout)

    async def release(self, path: Path) -> None:
        """Take from clients what they hold at `path`, no longer exported, so that it can be unmounted."""
        await self._mounted().release_filesystem(path)
        # The files of the state that has just ended are kept open for a while; flushing closes them.
        await self.flush()

    async def states(self) -> str:
        """Return what NFSv4 clients hold, as nfsd tells it: a line for each open, lock, delegation and layout."""
        return await self._mounted().states()

    async def clients(self) -> dict[int, tuple[Info, list[State]]]:
        """Return the NFSv4 clients and what they hold, by the kernel's numbers. Raises CommandError."""
        return await self._mounted().clients()

    async def numbers(self) -> ServerNumbers:
        """Return what the server counts. Raises CommandError, OSError."""
        texts = await self._mounted().counters()
        with open(counters.RPC_FILE, encoding="ascii") as file:  # of sunrpc's proc files, not of nfsd's filesystem
            return counters.parse(file.read(), *texts)

    async def expire(self, number: int) -> None:
        """End an NFSv4 client's session. Raises CommandError."""
        await self._mounted().expire(number)

    def mounts(self) -> list[tuple[str, str]]:
        """Return what NFSv3 clients have mounted, as rpc.mountd noted it: pairs of client and path."""
        return parse_rmtab(_read(self.settings.nfs_state_dir / "rmtab"))

    async def answers(self) -> bool:
        """Whether the server answers a call."""
        return await null_call.answers(self.settings.nfs_port, _ANSWER_SECONDS)

    @property
    def _in_force(self) -> Path:
        """A copy of the exports file, which is there when exportfs and the kernel have all of it."""
        return self.settings.run_dir / "exports-in-force"

    def _mounted(self) -> Knfsd:
        if self._knfsd is None:
            raise CommandError("nfsd is not mounted yet")
        return self._knfsd

    def check_tracking(self, nfsdcld: int | None) -> None:
        """Raise CommandError unless the kernel uses nfsdcld, without which no client could reclaim after a restart."""
        if nfsdcld is None or not holds_open(nfsdcld, "/nfsd/cld"):
            raise CommandError(
                "the NFS server does not use nfsdcld, so clients could reclaim nothing after a restart",
                "see what the kernel's log says of NFSD and client tracking",
            )


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace(path, text.encode(errors="surrogateescape"), 0o644)
