"""One file per source; each turns raw inputs into the rows that `ingest` takes."""
