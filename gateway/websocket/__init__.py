"""WebSockets as bytes: frame heads walked without I/O, bounded in size and pace, and the connections that do so."""
