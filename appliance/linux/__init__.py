"""System calls, each a safe wrapper: the only place with ctypes and ioctls."""
