"""Pull requests: the report's comment, and what posts it."""
