"""Tables of any format, as records with named columns."""
