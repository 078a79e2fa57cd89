"""What the method reads: the catalogue, its roles and few-shot subsets, features by row, negative locations."""
