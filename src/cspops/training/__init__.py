"""The training room: a loop a model, resumable, each drawing from named random streams."""
