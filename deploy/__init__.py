"""Building, launching and trying out the container."""
