"""What the tiers share: private work directories, loop filesystems, children, and the daemon under test."""
