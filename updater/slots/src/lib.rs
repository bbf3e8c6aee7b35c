//! A/B model slots and their journal over a storage trait; power-fail safe.
#![no_std]
#![forbid(unsafe_code)]
