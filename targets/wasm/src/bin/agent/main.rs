//! The module of a tab's updater: the agent over files of the page's origin, without any model.
//!
//! # Mental model
//!
//! A worker of the npm package drives it: [`Agent::step`] does what needs no network and says what is next, the worker fetches and
//! hands in what comes, and [`Agent::event`] says what the page has to do with models (test one, answer from one), whose outcomes
//! come back by [`Agent::tested`] and [`Agent::loaded`]. The page owns the models; this module decides which.
//!
//! Numbers cross the border as doubles: what is counted here stays far below 2^53. What has a form crosses as JSON.
#![forbid(unsafe_code)]

mod agent;
mod blobs;
mod border;
mod files;
mod medium;
mod told;

use wasm_bindgen::prelude::*;

/// Makes a panic an error of JavaScript. The package calls it once, before anything else.
#[wasm_bindgen]
pub fn throw_panics() {
    std::panic::set_hook(Box::new(|panic| wasm_bindgen::throw_str(&panic.to_string())));
}

/// Nothing runs by itself.
fn main() {}
