"""The store: bundles as folders on the disk, each file of equal content once."""
