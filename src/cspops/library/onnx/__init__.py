"""ONNX files of a model: what they compute, how they are written, and how they are compared with torch."""
