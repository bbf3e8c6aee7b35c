//! Models, and their updates, as an app holds them: what the bindings for C, Java, Swift and Python have in common.
//!
//! # Mental model
//!
//! A [`sanderling_session::Session`] belongs to one thread; an app's garbage collector, thread pool or interpreter does
//! not ask which. A [`Model`] is a session behind a lock that never waits: any thread may call it, and a second one at
//! the same time is told so ([`Kind::Busy`]). It may be closed while others still hold it. Its errors are an
//! [`AppError`]: a [`Kind`] that becomes a status code or an exception's class, and our words.
//!
//! An [`Updater`] is a device's agent without threads, timers or network of its own, for systems that start and end a
//! program as they like: the app's scheduler calls [`Updater::step`], the app's network carries out what requests come
//! of it, and [`Updater::answer`] answers from the image that serves meanwhile.
//!
//! ```text
//!   app's scheduler ──► step ──► a request ──► app's network ──► respond, body…, end ──► step … ──► wait
//!   app's threads   ──► answer (counted, compared during a trial)
//! ```
//!
//! The bindings convert values, and call this; [`guarded`] is what each of their functions runs in.

#![deny(unsafe_code)]

mod driver;
mod error;
mod model;
pub mod pairs;
mod runtime;
mod served;
mod updater;
pub mod window;

pub use error::{AppError, Kind, guarded};
pub use model::{Model, ModelOptions, hex};
pub use runtime::runtime_info;
pub use updater::{Cause, Request, Step, Updater, UpdaterOptions, UpdaterState};
