//! The Python binding.
//!
//! # Mental model
//!
//! The package `sanderling` (folder `python`) is this module with its exceptions, types and documentation. Everything here
//! converts; what a model is and does is [`sanderling_app`]'s. Inputs are the arrays' own bytes, read where they lie;
//! outputs are arrays that own theirs. While a model computes, other threads of Python run: an array that one of them
//! writes to meanwhile gives an answer to whatever was read.
#![forbid(unsafe_code)]

mod arrays;
mod pack;
mod session;

use pyo3::prelude::*;
use sanderling_app::AppError;

/// An error as its exception of `sanderling.errors`.
fn exception(py: Python<'_>, error: &AppError) -> PyErr {
    let make = || {
        let class = py
            .import("sanderling.errors")?
            .getattr(format!("{}Error", error.kind.name()))?;
        class.call1((error.message.as_str(),))
    };
    make().map_or_else(|problem| problem, PyErr::from_value)
}

/// Does work that needs no Python while other threads run Python.
fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T, AppError> + Send) -> PyResult<T> {
    py.detach(|| sanderling_app::guarded(work))
        .map_err(|error| exception(py, &error))
}

#[pymodule(name = "_native")]
mod native {
    #[pymodule_export]
    use crate::pack::pack;
    #[pymodule_export]
    use crate::session::{Answer, Layer, Port, Session};
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
