//! Open Inference Protocol v2 over REST: the cloud endpoint of a cascade, and its client.
#![forbid(unsafe_code)]
