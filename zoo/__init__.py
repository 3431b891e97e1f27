"""How the starter zoo is made: recipes, and the one command that follows them, `python -m zoo.build`."""
