"""What turns a dataset into something small that can be compared: sketch, distance, embedding."""
