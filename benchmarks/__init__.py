"""Programs that print measured figures as one JSON document each; see the README's table."""

import os

os.environ.setdefault("SNT_ZOO_CACHE", "0")  # what one run computes shall not speed up the next
