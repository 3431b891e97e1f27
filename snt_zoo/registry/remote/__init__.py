"""A registry at a URL: the one of a retrieval service (`snt-zoo serve`), used as if it were on this machine.

`documents` is what travels, `client` speaks HTTP, `registry` answers for the service in the place of a
registry's folder, and `asking` queries it. What is fetched is checked as any bundle and kept in a cache.
"""
