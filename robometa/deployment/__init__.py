"""Export of trained policies to ONNX, and its verification."""
