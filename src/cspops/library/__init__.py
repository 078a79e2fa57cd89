"""Models in use: what `cspops.load` gives, and what the commands predict, embed, map and export are made of."""
