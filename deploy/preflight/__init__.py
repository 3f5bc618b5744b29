"""Whether this host can run the appliance: each thing it needs is looked at, and what is wrong comes with its cure."""
