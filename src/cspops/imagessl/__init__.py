"""Self-supervised pre-training of the image network: a wing that the core does not know."""
