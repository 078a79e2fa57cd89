"""GAIR (Liu et al. 2025): a photo, an overhead image and a place in one pre-training.

Three encoders embed an overhead image, a photo taken inside its footprint, and the place of that photo. An implicit function,
NILI, reads the overhead features at that place, so that what is compared with the photo is the overhead view of this very
place and not of the whole image. The modules here take plain tensors; `published` holds the sizes and the layout of the
released checkpoint.
"""
