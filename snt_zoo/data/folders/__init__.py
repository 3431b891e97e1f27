"""A folder of images: what is in it, what is passed over, and which of its folders are splits and classes."""
