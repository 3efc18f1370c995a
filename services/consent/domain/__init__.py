"""Values and rules of consent; no I/O, and the clock is passed in."""
