"""The rows of a source, sorted into observations and rejected rows."""
