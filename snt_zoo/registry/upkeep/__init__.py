"""What changes a registry and keeps it in order: opening, intake, verification, repair, rescue, gc."""
