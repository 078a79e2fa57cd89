"""Contrastive Spatial Pre-Training."""
