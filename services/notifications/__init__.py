"""Tell: the inbox of each record, and who may look at it."""
