"""One file a source; each turns raw inputs into the rows that `ingest` takes."""
