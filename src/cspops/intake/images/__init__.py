"""Image files: what they say of themselves, and their pixels."""
