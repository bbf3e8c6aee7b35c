//! From an ONNX model to a bundle.

use crate::detached;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sanderling_app::{AppError, Kind};
use sanderling_compiler::{CompileError, OptimiseOptions, Recipe, onnx};
use sanderling_core::{OpTable, ops};
use std::path::{Path, PathBuf};

/// Packs a model; see `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (model, recipe = None, *, name = None, version = None, quantise = None))]
pub(crate) fn pack<'py>(
    py: Python<'py>,
    model: PathBuf,
    recipe: Option<PathBuf>,
    name: Option<String>,
    version: Option<String>,
    quantise: Option<&str>,
) -> PyResult<Bound<'py, PyBytes>> {
    let weights = match quantise {
        None => Ok(None),
        Some("int8") => Ok(Some(Default::default())),
        Some(other) => Err(AppError::argument(format!(
            "weights can be quantised to int8, not to '{other}'"
        ))),
    };
    let packed = detached(py, || {
        let (mut recipe, model) = chosen(recipe.as_deref(), &model)?;
        recipe.name = name.unwrap_or(recipe.name);
        recipe.version = version.unwrap_or(recipe.version);
        recipe.quantise = weights?.or(recipe.quantise);
        packed(&model, &recipe).map_err(|error| of(&model, error))
    })?;
    Ok(PyBytes::new(py, &packed))
}

/// The recipe and the model's path: a recipe names its model, unless another is given.
fn chosen(recipe: Option<&Path>, model: &Path) -> Result<(Recipe, PathBuf), AppError> {
    let load = |path: &Path| Recipe::load(path).map_err(|error| of(path, error));
    if let Some(path) = recipe {
        return Ok((load(path)?.0, model.to_path_buf()));
    }
    if model.extension().is_some_and(|ending| ending == "toml") {
        return load(model);
    }
    let stem = model.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    Ok((
        Recipe::named(stem.as_deref().unwrap_or("model")),
        model.to_path_buf(),
    ))
}

fn packed(model: &Path, recipe: &Recipe) -> Result<Vec<u8>, CompileError> {
    let table = OpTable(ops::ALL);
    let model = onnx::read_file(model, table, &onnx::Limits::default())?;
    let options = OptimiseOptions::default();
    Ok(sanderling_compiler::pack(model, recipe, table, &options, &mut |_| ())?.bytes)
}

fn of(file: &Path, error: CompileError) -> AppError {
    match error {
        // It names the file already.
        CompileError::Io { .. } => AppError::new(Kind::File, error.to_string()),
        error => AppError::new(Kind::Bundle, format!("{}: {error}", file.display())),
    }
}
