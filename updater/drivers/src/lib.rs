//! HTTP, MQTT and file drivers of the device agent.
#![forbid(unsafe_code)]
