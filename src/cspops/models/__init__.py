"""The model room: location encoders, heads, image networks, and how they are written to disk."""
