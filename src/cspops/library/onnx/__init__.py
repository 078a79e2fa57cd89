"""ONNX files of a model: what they compute, how they are written, and how they are held against torch."""
