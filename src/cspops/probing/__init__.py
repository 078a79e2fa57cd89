"""What an embedding is worth: other variables predicted from it, with settings that never see the rows that are reported."""
