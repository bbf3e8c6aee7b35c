//! ONNX import, graph optimiser, quantiser and packer.
#![forbid(unsafe_code)]
