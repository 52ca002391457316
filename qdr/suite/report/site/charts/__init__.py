"""The charts of the page: what figures/ shows, with the values under the pointer."""
