"""What documents does: one verb a file."""
