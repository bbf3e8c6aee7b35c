//! The session, and what it says of itself.

use crate::arrays::{Inputs, Output};
use crate::detached;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyDict, PyMapping, PyTuple};
use sanderling_app::{Model, ModelOptions};
use sanderling_session::{Dim, PortInfo};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// An input or output, as the model declares it.
#[pyclass(frozen, get_all)]
pub(crate) struct Port {
    name: String,
    dtype: Option<String>,
    shape: Py<PyTuple>,
    range: Option<(f64, f64)>,
}

/// What a classifier answers.
#[pyclass(frozen, get_all)]
pub(crate) struct Answer {
    label: String,
    confidence: f32,
    top: Vec<(String, usize, f32)>,
    rule: bool,
    below_threshold: bool,
    flagged: bool,
}

/// A value that a run computed.
#[pyclass(frozen, get_all)]
pub(crate) struct Layer {
    node: String,
    operator: String,
    value: String,
    r#type: String,
    digest: Option<String>,
}

#[pymethods]
impl Port {
    fn __repr__(&self, py: Python<'_>) -> String {
        let dtype = self.dtype.as_deref().unwrap_or("?");
        format!("Port({:?}, {dtype}, {})", self.name, self.shape.bind(py))
    }
}

#[pymethods]
impl Answer {
    fn __repr__(&self) -> String {
        format!("Answer({:?}, {:.4})", self.label, self.confidence)
    }
}

#[pymethods]
impl Layer {
    fn __repr__(&self) -> String {
        let digest = self.digest.as_deref().map_or("by floats", |digest| &digest[..16]);
        format!("Layer({:?}, {}, {digest})", self.value, self.operator)
    }
}

/// Where a bundle comes from.
#[derive(FromPyObject)]
enum Source {
    #[pyo3(transparent)]
    Bytes(PyBackedBytes),
    #[pyo3(transparent)]
    Path(PathBuf),
}

/// A loaded model. See `_native.pyi`.
#[pyclass(frozen)]
pub(crate) struct Session {
    model: Model,
    closed: AtomicBool,
}

#[pymethods]
impl Session {
    #[new]
    #[pyo3(signature = (bundle, *, threads = 1, memory_limit = 0))]
    fn open(py: Python<'_>, bundle: Source, threads: usize, memory_limit: u64) -> PyResult<Self> {
        let options = ModelOptions {
            threads,
            memory_limit,
        };
        let model = detached(py, || match &bundle {
            Source::Bytes(bytes) => Model::open(bytes, options),
            Source::Path(path) => Model::open_file(path, options),
        })?;
        Ok(Self {
            model,
            closed: AtomicBool::new(false),
        })
    }

    #[getter]
    fn name(&self) -> &str {
        self.model.name()
    }

    #[getter]
    fn version(&self) -> &str {
        self.model.version()
    }

    #[getter]
    fn labels(&self) -> Vec<String> {
        self.model.labels().to_vec()
    }

    #[getter]
    fn inputs(&self, py: Python<'_>) -> PyResult<Vec<Port>> {
        self.model.inputs().iter().map(|info| port(py, info)).collect()
    }

    #[getter]
    fn outputs(&self, py: Python<'_>) -> PyResult<Vec<Port>> {
        self.model.outputs().iter().map(|info| port(py, info)).collect()
    }

    #[getter]
    fn closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn run<'py>(&self, py: Python<'py>, inputs: &Bound<'py, PyMapping>) -> PyResult<Bound<'py, PyDict>> {
        let inputs = Inputs::of(inputs)?;
        let views = inputs.views(py)?;
        let outputs: Vec<Output> = detached(py, || {
            self.model
                .run(&views, |outputs| outputs.iter().map(Output::of).collect())
        })?;
        let named = PyDict::new(py);
        for output in outputs {
            let (name, array) = output.array(py)?;
            named.set_item(name, array)?;
        }
        Ok(named)
    }

    #[pyo3(signature = (file, *, top = None))]
    fn answer(&self, py: Python<'_>, file: PyBackedBytes, top: Option<usize>) -> PyResult<Answer> {
        let found = detached(py, || self.model.answer(&file, top))?;
        let top = found.top.into_iter();
        Ok(Answer {
            label: found.label,
            confidence: found.confidence,
            top: top
                .map(|scored| (scored.label, scored.index, scored.score))
                .collect(),
            rule: found.rule,
            below_threshold: found.below_threshold,
            flagged: found.flagged,
        })
    }

    fn layers<'py>(&self, py: Python<'py>, inputs: &Bound<'py, PyMapping>) -> PyResult<Vec<Layer>> {
        let inputs = Inputs::of(inputs)?;
        let views = inputs.views(py)?;
        let layers = detached(py, || self.model.layers(&views))?;
        let layers = layers.into_iter().map(|layer| Layer {
            node: layer.node,
            operator: layer.operator,
            value: layer.value,
            r#type: layer.ty.to_string(),
            digest: layer.digest.map(|digest| sanderling_app::hex(&digest)),
        });
        Ok(layers.collect())
    }

    fn hash<'py>(&self, py: Python<'py>, inputs: &Bound<'py, PyMapping>) -> PyResult<String> {
        let inputs = Inputs::of(inputs)?;
        let views = inputs.views(py)?;
        detached(py, || self.model.hash(&views))
    }

    fn self_test(&self, py: Python<'_>) -> PyResult<Vec<(String, Option<String>)>> {
        let test = detached(py, || self.model.self_test())?;
        let vectors = test.vectors.into_iter();
        Ok(vectors.map(|vector| (vector.name, vector.failure)).collect())
    }

    fn digest(&self, py: Python<'_>) -> PyResult<String> {
        detached(py, || self.model.digest())
    }

    fn close(&self, py: Python<'_>) {
        // It waits for a run of another thread, which may want Python.
        py.detach(|| self.model.close());
        self.closed.store(true, Ordering::Relaxed);
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, py: Python<'_>, _raised: &Bound<'_, PyTuple>) {
        self.close(py);
    }

    fn __repr__(&self) -> String {
        format!(
            "Session({:?}, version {:?})",
            self.model.name(),
            self.model.version()
        )
    }
}

fn port(py: Python<'_>, info: &PortInfo) -> PyResult<Port> {
    let ty = info.ty.as_ref();
    let dims = ty.map_or(&[][..], |ty| &ty.shape).iter().map(|dim| {
        Ok(match dim {
            Dim::Fixed(n) => n.into_pyobject(py)?.into_any(),
            Dim::Symbol(name) => name.into_pyobject(py)?.into_any(),
            Dim::Unknown => py.None().into_bound(py),
        })
    });
    let dims = dims.collect::<PyResult<Vec<_>>>()?;
    Ok(Port {
        name: info.name.clone(),
        dtype: ty.map(|ty| ty.dtype.name().to_string()),
        shape: PyTuple::new(py, dims)?.unbind(),
        range: info.range,
    })
}
