"""Codecs: how each kind of filesystem's handles become node ids. One module a kind, and `choice`, which picks one."""
