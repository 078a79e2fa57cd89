"""One file a source; each turns raw inputs into the rows that `catalogue.validate` takes."""
