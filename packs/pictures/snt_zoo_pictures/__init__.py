"""Further supernets for snt-zoo, in the folder `starter` beside this file."""
