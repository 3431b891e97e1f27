"""A bundle: the folder format of a supernet, how it is checked, read and written."""
