"""What consent does: one verb a file."""
