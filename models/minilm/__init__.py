"""MiniLM (Wang et al. 2020), from its wheel to an int8 ONNX graph: what the detector and the embedder are both made of."""
