"""The data room: raw inputs to catalogue, catalogue to roles and few-shot subsets, features by row."""
