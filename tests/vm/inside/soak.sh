#!/bin/bash
# A soak with two NFS clients: this machine, and a network namespace of it, which is another client to the server.
# Usage: soak.sh [SECONDS [SEED]]
set -euo pipefail
seconds=${1:-1800} seed=${2:-$RANDOM}
. "$FILES/second_client.sh"
trap no_second_client EXIT
second_client
python3 "$FILES/soak.py" "$seconds" "$seed" /mnt/share /mnt/second
