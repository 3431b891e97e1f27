"""A derived network as a file that runs without snt-zoo: ONNX, or a program of `torch.export`."""
