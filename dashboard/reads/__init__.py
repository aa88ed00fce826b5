"""Cached reads of the store, a module a page."""
