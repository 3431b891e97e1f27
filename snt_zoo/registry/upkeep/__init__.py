"""What keeps a registry in order: verification, repair, rescue, garbage collection."""
