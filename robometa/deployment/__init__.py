"""Export of trained policies to ONNX, and its verification."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # or an imported onnxruntime reports to its makers
