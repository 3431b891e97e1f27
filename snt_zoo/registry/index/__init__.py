"""The index: the vectors of the bundles in FAISS, and how it keeps up with the catalog."""
