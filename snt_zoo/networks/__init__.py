"""What is searched: supernets, the networks that they derive to, and what can be asked of a network."""
