"""Image files: what they say about themselves, and their pixels."""
