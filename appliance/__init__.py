"""The appliance: everything but HTTP and deployment."""
