"""The training room: one resumable function per model, each of which draws from named random streams."""
