"""GAIR (Liu et al. 2025): overhead image, photo and place in one pre-training, the overhead image read where the photo was taken."""
