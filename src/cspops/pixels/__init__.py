"""From the bytes of an image file to RGB, to pixels for a network, and to random views of them."""
