"""`holdfast`: the command line, a client of the REST API."""
