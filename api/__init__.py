"""The REST control plane: an unprivileged process that asks the supervisor."""
