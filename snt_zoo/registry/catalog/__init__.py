"""The catalog: what is known of the bundles, in SQLite, and what their versions are called."""
