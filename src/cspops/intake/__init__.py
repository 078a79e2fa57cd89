"""From raw inputs to the catalogue: sources, tables, what images say about themselves, and which rows can be used."""
