"""Handle-stability checks: do the handles given out earlier still name the same files?"""
