"""The handle-based passthrough FUSE daemon."""
