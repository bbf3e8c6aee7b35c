//! Arrays in files: NumPy's `.npy` and `.npz`, and JSON. What a file is, its first bytes say.
//!
//! An `.npy` file is a header and the elements as they lie in memory, so that no type needs code of its own: bytes are
//! swapped where the file is big-endian, and put in row-major order where it is not.

use crate::commands::files;
use anyhow::{Context, anyhow, bail};
use half::{bf16, f16};
use npyz::{NpyHeader, Order, TypeChar, WriterBuilder};
use sanderling_session::{DType, PortInfo, Tensor, TensorView};
use serde_json::Value;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

/// Most bytes of one array.
const MAX_BYTES: u64 = 8 << 30;
/// Most bytes of a JSON file.
const MAX_JSON: u64 = 1 << 28;
/// Deepest nesting of a JSON array.
const MAX_RANK: usize = 32;

/// What the first bytes say.
enum Kind {
    Npy,
    Npz,
    Json,
}

fn open(path: &Path) -> anyhow::Result<(Kind, BufReader<File>)> {
    files::check(path)?;
    let cannot = || format!("cannot read {}", path.display());
    let mut file = BufReader::new(File::open(path).with_context(cannot)?);
    let mut head = Vec::new();
    file.by_ref()
        .take(300)
        .read_to_end(&mut head)
        .with_context(cannot)?;
    file.rewind().with_context(cannot)?;
    let kind = match head.trim_ascii_start() {
        [b'\x93', b'N', b'U', b'M', b'P', b'Y', ..] => Kind::Npy,
        [b'P', b'K', ..] => Kind::Npz,
        [b'[' | b'{' | b'-' | b'0'..=b'9', ..] => Kind::Json,
        _ => {
            let found = sanderling_bundle::describe_file(&head).unwrap_or("something else");
            bail!(
                "{}: an array is a .npy, .npz or JSON file, this is {found}",
                path.display()
            );
        }
    };
    Ok((kind, file))
}

/// The array for one input; of an archive the one of that name, or the only one.
pub(crate) fn read_one(path: &Path, port: &PortInfo) -> anyhow::Result<Tensor> {
    let (kind, file) = open(path)?;
    let tensor = match kind {
        Kind::Npy => npy(file),
        Kind::Npz => archive(file).and_then(|mut all| {
            if all.len() == 1 {
                return Ok(all.swap_remove(0).1);
            }
            let found = all.iter().position(|(name, _)| *name == port.name);
            let index =
                found.with_context(|| format!("it holds {}, none of them '{}'", names(&all), port.name))?;
            Ok(all.swap_remove(index).1)
        }),
        Kind::Json => json(file).and_then(|value| match &value {
            Value::Object(all) => {
                let found = all
                    .get(&port.name)
                    .with_context(|| format!("it has no key '{}'", port.name))?;
                json_tensor(found, port)
            }
            value => json_tensor(value, port),
        }),
    };
    tensor.with_context(|| path.display().to_string())
}

/// All arrays of an archive or a JSON object, each for the input of its name.
pub(crate) fn read_all(path: &Path, ports: &[PortInfo]) -> anyhow::Result<Vec<(usize, Tensor)>> {
    let known = ports
        .iter()
        .map(|port| port.name.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    let find = |name: &str| {
        let found = ports.iter().position(|port| port.name == name);
        found.with_context(|| format!("there is no input '{name}'; the model's inputs are {known}"))
    };
    let read = || -> anyhow::Result<Vec<(usize, Tensor)>> {
        match open(path)? {
            (Kind::Npz, file) => archive(file)?
                .into_iter()
                .map(|(name, tensor)| Ok((find(&name)?, tensor)))
                .collect(),
            (Kind::Json, file) => match json(file)? {
                Value::Object(all) => {
                    let one = |(name, value): (&String, &Value)| {
                        let index = find(name)?;
                        Ok((index, json_tensor(value, &ports[index])?))
                    };
                    all.iter().map(one).collect()
                }
                _ => bail!("one array for several inputs: write NAME=FILE; the model's inputs are {known}"),
            },
            (Kind::Npy, _) => {
                bail!("one array for several inputs: write NAME=FILE; the model's inputs are {known}")
            }
        }
    };
    read().with_context(|| path.display().to_string())
}

fn names(all: &[(String, Tensor)]) -> String {
    all.iter()
        .map(|(name, _)| name.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// The arrays of an `.npz` file, by name.
fn archive(file: BufReader<File>) -> anyhow::Result<Vec<(String, Tensor)>> {
    let mut archive = zip::ZipArchive::new(file).context("not a readable .npz archive")?;
    let mut all = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index)?;
        let name = entry.name()?.to_string();
        let Some(name) = name.strip_suffix(".npy") else {
            bail!("it holds '{name}', which is no .npy array: this is no .npz file");
        };
        let name = name.to_string();
        all.push((
            name.clone(),
            npy(entry).with_context(|| format!("array '{name}'"))?,
        ));
    }
    Ok(all)
}

fn npy(mut reader: impl Read) -> anyhow::Result<Tensor> {
    let header = NpyHeader::from_reader(&mut reader).context("the .npy header is damaged")?;
    let npyz::DType::Plain(ty) = header.dtype() else {
        bail!("it holds records, not numbers");
    };
    let dtype = match (ty.type_char(), ty.size_field()) {
        (TypeChar::Bool, 1) => DType::Bool,
        (TypeChar::Int, 1) => DType::I8,
        (TypeChar::Int, 2) => DType::I16,
        (TypeChar::Int, 4) => DType::I32,
        (TypeChar::Int, 8) => DType::I64,
        (TypeChar::Uint, 1) => DType::U8,
        (TypeChar::Uint, 2) => DType::U16,
        (TypeChar::Uint, 4) => DType::U32,
        (TypeChar::Uint, 8) => DType::U64,
        (TypeChar::Float, 2) => DType::F16,
        (TypeChar::Float, 4) => DType::F32,
        (TypeChar::Float, 8) => DType::F64,
        _ => bail!("its elements are {ty}, which no model takes: convert it with numpy's astype"),
    };
    let width = dtype.bits() / 8;
    let count = header.shape().iter().try_fold(1u64, |n, &dim| n.checked_mul(dim));
    let length = count
        .and_then(|n| n.checked_mul(width as u64))
        .filter(|&n| n <= MAX_BYTES);
    let length = length.with_context(|| format!("an array of shape {:?} is too large", header.shape()))?;
    let mut data = Vec::new();
    reader.take(length).read_to_end(&mut data)?;
    if (data.len() as u64) < length {
        bail!(
            "the array is cut short: {} bytes of {length} are there",
            data.len()
        );
    }
    if ty.endianness() == npyz::Endianness::Big {
        data.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
    // What has that many bytes in memory has dimensions that fit.
    let shape: Vec<usize> = header
        .shape()
        .iter()
        .map(|&dim| usize::try_from(dim).unwrap_or(usize::MAX))
        .collect();
    if header.order() == Order::Fortran && shape.len() > 1 {
        data = row_major(&data, &shape, width);
    }
    Ok(Tensor::from_bytes(dtype, &shape, &data)?)
}

/// Elements that lie with the first index fastest, put in row-major order.
fn row_major(data: &[u8], shape: &[usize], width: usize) -> Vec<u8> {
    let mut sorted = Vec::with_capacity(data.len());
    let mut index = vec![0usize; shape.len()];
    for _ in 0..data.len() / width {
        let at = shape
            .iter()
            .zip(&index)
            .rev()
            .fold(0, |at, (&dim, &i)| at * dim + i);
        sorted.extend_from_slice(&data[at * width..][..width]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    sorted
}

/// Writes a tensor as `.npy`; types that NumPy has not are written as 32-bit floats.
pub(crate) fn write_npy(path: &Path, view: &TensorView<'_>) -> anyhow::Result<()> {
    let (code, bytes) = match view.dtype() {
        DType::Bool => ("|b1", None),
        DType::I8 => ("|i1", None),
        DType::U8 => ("|u1", None),
        DType::I16 => ("<i2", None),
        DType::U16 => ("<u2", None),
        DType::I32 => ("<i4", None),
        DType::U32 => ("<u4", None),
        DType::I64 => ("<i8", None),
        DType::U64 => ("<u8", None),
        DType::F16 => ("<f2", None),
        DType::F32 => ("<f4", None),
        DType::F64 => ("<f8", None),
        DType::BF16 => (
            "<f4",
            Some(
                (0..view.len())
                    .flat_map(|i| (get(view, i) as f32).to_le_bytes())
                    .collect::<Vec<u8>>(),
            ),
        ),
        other => bail!("an output of type {} cannot be written as .npy", other.name()),
    };
    let shape: Vec<u64> = view.shape().iter().map(|&n| n as u64).collect();
    let write = || -> anyhow::Result<()> {
        let ty = code.parse().map_err(|error| anyhow!("{error}"))?;
        let options = npyz::WriteOptions::new_header_only()
            .dtype(npyz::DType::Plain(ty))
            .shape(&shape);
        let mut file = options
            .writer(BufWriter::new(File::create(path)?))
            .write_header_only()?;
        file.write_all(bytes.as_deref().unwrap_or(view.bytes()))?;
        Ok(file.flush()?)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn json(file: BufReader<File>) -> anyhow::Result<Value> {
    let mut bytes = Vec::new();
    file.take(MAX_JSON + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_JSON {
        bail!(
            "the JSON file is over {} MB: save the array as .npy",
            MAX_JSON >> 20
        );
    }
    serde_json::from_slice(&bytes).context("the JSON is damaged")
}

/// Nested arrays of numbers as a tensor of the input's type.
fn json_tensor(value: &Value, port: &PortInfo) -> anyhow::Result<Tensor> {
    let dtype = port.ty.as_ref().map_or(DType::F32, |ty| ty.dtype);
    let mut shape = Vec::new();
    let mut inner = value;
    while let Value::Array(items) = inner {
        if shape.len() == MAX_RANK {
            bail!("arrays are nested more than {MAX_RANK} deep");
        }
        shape.push(items.len());
        match items.first() {
            Some(first) => inner = first,
            None => break,
        }
    }
    let mut tensor = Tensor::zeros(dtype, &shape)?;
    let width = (dtype.bits() / 8).max(1);
    let mut view = tensor.view_mut();
    fill(
        value,
        &shape,
        dtype,
        &mut view.bytes_mut().chunks_exact_mut(width),
    )?;
    Ok(tensor)
}

fn fill(
    value: &Value,
    shape: &[usize],
    dtype: DType,
    slots: &mut std::slice::ChunksExactMut<'_, u8>,
) -> anyhow::Result<()> {
    match (value, shape) {
        (Value::Array(items), [n, rest @ ..]) if items.len() == *n => {
            items.iter().try_for_each(|item| fill(item, rest, dtype, slots))
        }
        (Value::Array(_), _) | (_, [_, ..]) => bail!("the nested arrays are not all of one length"),
        (value, []) => {
            let wrong = || format!("{value} is no element of type {}", dtype.name());
            let slot = slots.next().with_context(wrong)?;
            put_json(dtype, value, slot).with_context(wrong)
        }
    }
}

/// A JSON number or truth value as an element. Integers keep all their bits; none where the value does not fit.
fn put_json(dtype: DType, value: &Value, slot: &mut [u8]) -> Option<()> {
    match (dtype, value) {
        (DType::Bool, Value::Bool(truth)) => return put(dtype, f64::from(u8::from(*truth)), slot),
        (DType::I64, value) => slot.copy_from_slice(&value.as_i64()?.to_le_bytes()),
        (DType::U64, value) => slot.copy_from_slice(&value.as_u64()?.to_le_bytes()),
        (dtype, value) => return put(dtype, value.as_f64()?, slot),
    }
    Some(())
}

/// Writes a number as an element, little-endian; none where the type has no such element.
pub(crate) fn put(dtype: DType, value: f64, slot: &mut [u8]) -> Option<()> {
    let integer =
        |low: f64, high: f64| (value.fract() == 0.0 && (low..=high).contains(&value)).then_some(value);
    match dtype {
        DType::F32 => slot.copy_from_slice(&(value as f32).to_le_bytes()),
        DType::F64 => slot.copy_from_slice(&value.to_le_bytes()),
        DType::F16 => slot.copy_from_slice(&f16::from_f64(value).to_le_bytes()),
        DType::BF16 => slot.copy_from_slice(&bf16::from_f64(value).to_le_bytes()),
        DType::Bool => slot.copy_from_slice(&[integer(0.0, 1.0)? as u8]),
        DType::U8 => slot.copy_from_slice(&[integer(0.0, 255.0)? as u8]),
        DType::I8 => slot.copy_from_slice(&(integer(-128.0, 127.0)? as i8).to_le_bytes()),
        DType::U16 => slot.copy_from_slice(&(integer(0.0, f64::from(u16::MAX))? as u16).to_le_bytes()),
        DType::I16 => {
            slot.copy_from_slice(&(integer(f64::from(i16::MIN), f64::from(i16::MAX))? as i16).to_le_bytes())
        }
        DType::U32 => slot.copy_from_slice(&(integer(0.0, f64::from(u32::MAX))? as u32).to_le_bytes()),
        DType::I32 => {
            slot.copy_from_slice(&(integer(f64::from(i32::MIN), f64::from(i32::MAX))? as i32).to_le_bytes())
        }
        DType::U64 => slot.copy_from_slice(&(integer(0.0, u64::MAX as f64)? as u64).to_le_bytes()),
        DType::I64 => {
            slot.copy_from_slice(&(integer(i64::MIN as f64, i64::MAX as f64)? as i64).to_le_bytes())
        }
        _ => return None,
    }
    Some(())
}

/// An element as a number; NaN for types that have none.
pub(crate) fn get(view: &TensorView<'_>, index: usize) -> f64 {
    sanderling_session::element_at(view, index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sanderling_session::TensorType;

    fn port(dtype: DType) -> PortInfo {
        PortInfo {
            name: "x".into(),
            ty: Some(TensorType {
                dtype,
                shape: Vec::new(),
            }),
            range: None,
        }
    }

    fn parse(text: &str, dtype: DType) -> anyhow::Result<Tensor> {
        json_tensor(&serde_json::from_str(text)?, &port(dtype))
    }

    #[test]
    fn json_arrays_take_the_type_of_the_input() {
        let floats = parse("[[1, 2.5, -3], [4, 5, 6e2]]", DType::F32).unwrap();
        assert_eq!(
            (floats.shape(), floats.view().as_slice::<f32>().unwrap()),
            (&[2, 3][..], &[1.0, 2.5, -3.0, 4.0, 5.0, 600.0][..])
        );
        let large = parse("[9007199254740993]", DType::I64).unwrap();
        assert_eq!(large.view().to_i64s().unwrap(), [9_007_199_254_740_993]);
        assert_eq!(parse("[true, 0]", DType::Bool).unwrap().bytes(), [1, 0]);
        assert!(parse("7", DType::I32).unwrap().shape().is_empty());
        assert_eq!(parse("[]", DType::F32).unwrap().shape(), [0]);
        for (text, dtype) in [
            ("[[1], [2, 3]]", DType::F32),
            ("[[1], 2]", DType::F32),
            ("[1, [2]]", DType::F32),
            ("[1.5]", DType::I32),
            ("[256]", DType::U8),
            ("[\"a\"]", DType::F32),
            ("[null]", DType::F32),
        ] {
            assert!(parse(text, dtype).is_err(), "{text}");
        }
    }

    #[test]
    fn npy_files_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        for dtype in [
            DType::F32,
            DType::F64,
            DType::F16,
            DType::I8,
            DType::U8,
            DType::I16,
            DType::U16,
            DType::I32,
            DType::U32,
            DType::I64,
            DType::U64,
            DType::Bool,
        ] {
            let mut tensor = Tensor::zeros(dtype, &[2, 3]).unwrap();
            let width = dtype.bits() / 8;
            let mut view = tensor.view_mut();
            view.bytes_mut()
                .chunks_exact_mut(width)
                .enumerate()
                .for_each(|(i, slot)| put(dtype, (i % 2) as f64, slot).unwrap());
            write_npy(&path, &tensor.view()).unwrap();
            assert_eq!(read_one(&path, &port(dtype)).unwrap(), tensor);
        }
    }

    #[test]
    fn other_layouts_come_out_in_rows() {
        let header = |descr: &str, fortran: &str, shape: &str| {
            let dict = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
            let pad = 64 - (10 + dict.len() + 1) % 64;
            let text = format!("{dict}{}\n", " ".repeat(pad));
            [
                b"\x93NUMPY\x01\x00".as_slice(),
                &(text.len() as u16).to_le_bytes(),
                text.as_bytes(),
            ]
            .concat()
        };
        let columns = [header("|u1", "True", "(2, 3)"), vec![1, 4, 2, 5, 3, 6]].concat();
        assert_eq!(npy(&columns[..]).unwrap().bytes(), [1, 2, 3, 4, 5, 6]);
        let big = [header(">i2", "False", "(2,)"), vec![0, 1, 1, 0]].concat();
        assert_eq!(npy(&big[..]).unwrap().view().to_i64s().unwrap(), [1, 256]);
        for (file, word) in [
            (header("<f4", "False", "(2,)"), "cut short"),
            (header("<f4", "False", "(4294967296, 4294967296)"), "too large"),
            (header("<c8", "False", "(2,)"), "astype"),
            (b"\x93NUMPY\x01\x00\xff\xff{".to_vec(), "damaged"),
        ] {
            let error = format!("{:#}", npy(&file[..]).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
    }
}
