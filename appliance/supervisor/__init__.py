"""The supervisor: makes the observed state the desired one."""
