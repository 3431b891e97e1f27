"""A supernet adapted to a task: who races, the race, the training, the floor, what is handed back."""
