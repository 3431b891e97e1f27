"""Programs that print measured figures as one JSON document each; see the README's table."""
