//! Tensors from and to NumPy's `.npy` files.

use npyz::WriterBuilder;
use sanderling_core::{DType, Element, Tensor, TensorView};
use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::Path;

fn invalid(message: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.to_string())
}

/// Reads a tensor.
///
/// # Errors
/// What the system says; [`io::ErrorKind::InvalidData`] for dtypes that models here do not take, and for
/// Fortran order.
pub(crate) fn read(path: &Path) -> io::Result<Tensor> {
    fn all<T: Element + npyz::Deserialize>(
        file: npyz::NpyFile<BufReader<File>>,
        shape: &[usize],
    ) -> io::Result<Tensor> {
        Tensor::from_slice(shape, &file.into_vec::<T>()?).map_err(invalid)
    }
    let file = npyz::NpyFile::new(BufReader::new(File::open(path)?))?;
    if file.order() != npyz::Order::C && file.shape().len() > 1 {
        return Err(invalid("the array is in Fortran order"));
    }
    let shape = file
        .shape()
        .iter()
        .map(|&n| usize::try_from(n))
        .collect::<Result<Vec<_>, _>>()
        .map_err(invalid)?;
    match file.dtype().descr().trim_matches(['\'', '<', '|']) {
        "f4" => all::<f32>(file, &shape),
        "i4" => all::<i32>(file, &shape),
        "i8" => all::<i64>(file, &shape),
        "u1" => all::<u8>(file, &shape),
        other => Err(invalid(format!("the array holds {other}, not f4, i4, i8 or u1"))),
    }
}

/// Writes a tensor.
///
/// # Errors
/// What the system says; [`io::ErrorKind::InvalidData`] for other dtypes than [`read`] takes.
pub(crate) fn write(path: &Path, view: &TensorView<'_>) -> io::Result<()> {
    fn all<T: Element + npyz::AutoSerialize>(path: &Path, view: &TensorView<'_>) -> io::Result<()> {
        let shape: Vec<u64> = view.shape().iter().map(|&n| n as u64).collect();
        let mut writer = npyz::WriteOptions::new()
            .default_dtype()
            .shape(&shape)
            .writer(BufWriter::new(File::create(path)?))
            .begin_nd()?;
        writer.extend(view.as_slice::<T>().map_err(invalid)?.iter())?;
        writer.finish()
    }
    match view.dtype() {
        DType::F32 => all::<f32>(path, view),
        DType::I32 => all::<i32>(path, view),
        DType::I64 => all::<i64>(path, view),
        DType::U8 => all::<u8>(path, view),
        other => Err(invalid(format!("{} tensors are not written", other.name()))),
    }
}
