"""The evaluation room: combining both models, and scoring them."""
