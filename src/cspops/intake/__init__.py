"""From raw inputs to the catalogue: sources, tables, what images say of themselves, and which rows can be used."""
