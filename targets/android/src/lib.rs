//! The native methods of the Java library.
//!
//! # Mental model
//!
//! The class `dev.sanderling.Native` declares what is here; the library around it (folder `java`) holds the handles, so that
//! a closed one never comes back: it hands 0 in its place. What goes in are strings, numbers and direct buffers, whose
//! bytes are read where they lie; what comes out is handed to a *sink*, a Java object with a method for each kind of thing
//! that is told. Everything converts; what a model and an updater are is [`sanderling_app`]'s.
//!
//! Every error and every panic becomes a `SanderlingException` of its kind.

mod border;
mod session;
mod updater;
