"""What the API and the supervisor say to each other over the control socket."""
