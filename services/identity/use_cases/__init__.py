"""What identity does, a verb a file."""
