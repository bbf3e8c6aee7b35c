//! NumPy's arrays as views of their bytes, and back.

use crate::exception;
use numpy::{
    PyArray1, PyArrayDescrMethods, PyArrayMethods, PyReadonlyArray1, PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use pyo3::types::PyMapping;
use sanderling_app::{AppError, Kind};
use sanderling_session::{DType, TensorView};

/// Arrays by name, held while their bytes are looked at.
pub(crate) struct Inputs<'py>(Vec<Held<'py>>);

struct Held<'py> {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    bytes: PyReadonlyArray1<'py, u8>,
}

impl<'py> Inputs<'py> {
    pub(crate) fn of(inputs: &Bound<'py, PyMapping>) -> PyResult<Self> {
        let items = inputs.items()?;
        let held = items.iter().map(|item| {
            let (name, array): (String, Bound<'py, PyAny>) = item.extract()?;
            hold(name, &array)
        });
        Ok(Self(held.collect::<PyResult<_>>()?))
    }

    pub(crate) fn views(&self, py: Python<'_>) -> PyResult<Vec<(&str, TensorView<'_>)>> {
        let views = self.0.iter().map(|held| {
            let bytes = held.bytes.as_slice();
            let bytes = bytes.map_err(|error| refused(py, &held.name, &error.to_string()))?;
            let view = TensorView::new(held.dtype, &held.shape, bytes);
            let view = view.map_err(|error| refused(py, &held.name, &error.to_string()))?;
            Ok((held.name.as_str(), view))
        });
        views.collect()
    }
}

fn refused(py: Python<'_>, name: &str, what: &str) -> PyErr {
    exception(py, &AppError::new(Kind::Input, format!("input '{name}': {what}")))
}

fn hold<'py>(name: String, array: &Bound<'py, PyAny>) -> PyResult<Held<'py>> {
    let py = array.py();
    // Subclasses (masked arrays, matrices) hold more than elements, and reshape in their own ways.
    let Ok(untyped) = array.cast_exact::<PyUntypedArray>() else {
        let found = array.get_type().qualname()?;
        return Err(refused(
            py,
            &name,
            &format!("this is a {found}, not a NumPy array itself: numpy.asarray makes one"),
        ));
    };
    let dtype = untyped.dtype();
    let word: String = dtype.getattr("name")?.extract()?;
    let native: bool = dtype.getattr("isnative")?.extract()?;
    // NumPy keeps narrow elements a byte each, bundles pack them.
    let known =
        DType::from_name(&word).filter(|dtype| native && dtype.bits() == 8 * untyped.dtype().itemsize());
    let Some(known) = known else {
        let order = if native { "" } else { " of another byte order" };
        return Err(refused(
            py,
            &name,
            &format!("arrays of {word}{order} are not taken"),
        ));
    };
    if !untyped.is_c_contiguous() {
        let what = "its elements do not lie one after the other: numpy.ascontiguousarray copies it so";
        return Err(refused(py, &name, what));
    }
    let shape = untyped.shape().to_vec();
    let flat = array
        .call_method1("reshape", (-1,))?
        .call_method1("view", ("uint8",))?;
    let bytes = flat.cast::<PyArray1<u8>>()?.try_readonly();
    Ok(Held {
        bytes: bytes.map_err(|error| refused(py, &name, &error.to_string()))?,
        name,
        dtype: known,
        shape,
    })
}

/// An output, copied out of the model.
pub(crate) struct Output {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Output {
    pub(crate) fn of((name, view): (&str, TensorView<'_>)) -> Self {
        Self {
            name: name.to_string(),
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.bytes().to_vec(),
        }
    }

    /// Its name, and an array that owns its bytes.
    pub(crate) fn array(self, py: Python<'_>) -> PyResult<(String, Bound<'_, PyAny>)> {
        let name = self.dtype.name();
        if !matches!(self.dtype.bits(), 8 | 16 | 32 | 64 | 128) {
            let words = format!("output '{}' is {name}, which NumPy does not have", self.name);
            return Err(exception(py, &AppError::new(Kind::Run, words)));
        }
        let dtype = py.import("numpy")?.call_method1("dtype", (name,)).map_err(|_| {
            let words = format!(
                "output '{}' is {name}, which NumPy knows once ml_dtypes is imported",
                self.name
            );
            exception(py, &AppError::new(Kind::Run, words))
        })?;
        let array = PyArray1::from_vec(py, self.bytes).call_method1("view", (dtype,))?;
        Ok((self.name, array.call_method1("reshape", (self.shape,))?))
    }
}
