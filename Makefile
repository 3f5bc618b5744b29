# Thin names for what `python -m deploy` does (deploy/), so that there is one way to start each thing.
#   make up                              the appliance, running, with a share that was tried      make down  ends it
#   make test                            everything that can be tested                            make venv  .venv alone
#   make bench [SIZE=small]               beside the kernel's own NFS server and nfs-ganesha, to results/ (an hour; 15 minutes)
#   make bench-gaps                       how long programs wait when a worker is killed, without NFS
#   make bench-inodes                     cost of inodes up to a million, to results/ (docs/benchmarks.md)
#   make bench-directory                  a directory of a million entries
#   make bench-upcalls [OVER=nfs]         requests that reach a worker, for what a program does; or for what an NFS client does
#   make bench-workers                    numbers of workers, on fast and on slow storage
#   make bench-local-changes              how soon local changes are seen
#   make bench-mount [SIZE=small]         real tools on the mount and on the plain directory
#   make soak, make endurance              half an hour of random faults; twenty kills of the container, cuts of the power
#   make failover                         another machine takes over the disk of one that is destroyed
#   make reproducible                     builds the image twice and compares the two
#   make kills                            a thousand workers killed with files open
#   make vm-run SCRIPT=FILE [FILES=DIR]  a script in a fresh virtual machine with the appliance
PYTHON = .venv/bin/python
.DEFAULT_GOAL = up
.PHONY: up down test image lock shell vm-run soak endurance failover reproducible kills bench bench-gaps bench-inodes \
    bench-directory bench-upcalls bench-workers bench-local-changes bench-mount venv clean

venv:
	@deploy/bootstrap

up down test image lock shell: venv
	@$(PYTHON) -m deploy $@

vm-run: venv
	@test -n "$(SCRIPT)" || { echo "usage: make vm-run SCRIPT=FILE [FILES=DIR]" >&2; exit 64; }
	@$(PYTHON) -m deploy vm-run $(if $(FILES),--files "$(FILES)") "$(SCRIPT)"

bench: venv
	@$(PYTHON) -m tests.bench.nfs --size $(or $(SIZE),full)

bench-gaps: venv
	@$(PYTHON) -m tests.bench.gaps

bench-inodes: venv
	@$(PYTHON) -m tests.bench.inodes

bench-directory: venv
	@$(PYTHON) -m tests.bench.directory

bench-upcalls: venv
	@$(PYTHON) -m tests.bench.upcalls$(if $(OVER),_$(OVER))

bench-workers: venv
	@$(PYTHON) -m tests.bench.workers

bench-local-changes: venv
	@$(PYTHON) -m tests.bench.local_changes

bench-mount: venv
	@$(PYTHON) -m tests.bench.mount --size $(or $(SIZE),full)

# Half an hour of random faults under the load of two NFS clients.
soak:
	@$(MAKE) --no-print-directory vm-run SCRIPT=tests/vm/inside/soak.sh FILES=tests/vm/inside

# The container killed twenty times in a row under load, and the power cut as often; `make test` does it once or twice.
endurance: venv
	@$(PYTHON) -m pytest tests/vm --require vm -m rounds --rounds $(or $(ROUNDS),20)

failover: venv
	@$(PYTHON) -m pytest tests/vm/failover.py --require vm

reproducible: venv
	@$(PYTHON) -m deploy.reproducible

kills: venv
	@.venv/bin/pytest -q tests/fuse/test_passthrough.py -k killed --require fuse --kills 1000

# Caches and .venv; what is running stays.
clean:
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m deploy clean; fi
	rm -rf .venv
