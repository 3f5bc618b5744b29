"""The state: what is kept on the state volume, and what of it nothing else tells."""
