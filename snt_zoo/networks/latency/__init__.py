"""How long a network takes: measured, and predicted from a table of its operations."""
