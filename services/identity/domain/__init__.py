"""Values and rules of identity; no I/O, and the clock is passed in."""
