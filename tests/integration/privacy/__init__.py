"""Nothing readable outside: one stack of its own for this folder (hence a package: its fixtures end with it)."""
