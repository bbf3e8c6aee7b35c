//! A tensor in a message: name, shape, datatype, and `data`, a flat list or lists in lists, row-major.
//!
//! Elements go from the text into the tensor's own memory, and from there into text: no tree of JSON values lies between,
//! which would take some hundred bytes an element. Only the datatype tells what an element is, and it may stand after
//! `data`; so `data` is looked over first as a slice of the text, then read. The memory is taken once, by the shape, after a
//! look whether the text is long enough to hold that many elements: an element is two characters (`1,`) at least and eight
//! bytes at most, so a tensor is at most four times its text, and what a server holds of a request five times its body.

use crate::ServeError;
use crate::protocol::{bounded, datatype_name, parse_datatype};
use sanderling_session::{DType, Tensor, TensorView};
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde::ser::{Error as _, SerializeStruct as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::fmt;

/// Deepest nesting of lists in `data`, and most dimensions of a shape.
const MAX_DEPTH: usize = 16;
/// Characters of a wrong element that an error repeats.
const MAX_SHOWN: usize = 40;

/// A tensor as a message holds it: of a datatype that JSON has a form for, and finite.
///
/// It is read out of text or bytes (`serde_json::from_str`, `from_slice`), not out of a stream or a `Value`.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorData {
    name: String,
    tensor: Tensor,
}

impl TensorData {
    /// A tensor for a message.
    ///
    /// # Errors
    /// [`ServeError::Tensor`] for a dtype without a JSON form, and for NaN and infinities, which JSON has no words for.
    pub fn new(name: &str, tensor: Tensor) -> Result<Self, ServeError> {
        let problem = |message: String| ServeError::Tensor {
            name: name.to_string(),
            message,
        };
        if datatype_name(tensor.dtype()).is_none() {
            return Err(problem(format!(
                "its dtype {} has no form in JSON",
                tensor.dtype().name()
            )));
        }
        if !is_finite(tensor.view()) {
            return Err(problem(
                "it holds NaN or an infinity, which JSON cannot".to_string(),
            ));
        }
        Ok(Self {
            name: name.to_string(),
            tensor,
        })
    }

    /// A copy of what a view shows.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn from_view(name: &str, view: TensorView<'_>) -> Result<Self, ServeError> {
        Self::new(name, view.to_tensor())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tensor.
    #[must_use]
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Name and tensor.
    #[must_use]
    pub fn into_parts(self) -> (String, Tensor) {
        (self.name, self.tensor)
    }
}

fn is_finite(view: TensorView<'_>) -> bool {
    match view.dtype() {
        DType::F32 => view
            .as_slice::<f32>()
            .is_ok_and(|values| values.iter().all(|v| v.is_finite())),
        DType::F64 => view
            .as_slice::<f64>()
            .is_ok_and(|values| values.iter().all(|v| v.is_finite())),
        _ => true,
    }
}

/// Calls a macro with the Rust type of each dtype that has a JSON form; bools are bytes.
macro_rules! by_dtype {
    ($dtype:expr, $call:ident, $otherwise:expr) => {
        match $dtype {
            DType::U8 | DType::Bool => $call!(u8),
            DType::U16 => $call!(u16),
            DType::U32 => $call!(u32),
            DType::U64 => $call!(u64),
            DType::I8 => $call!(i8),
            DType::I16 => $call!(i16),
            DType::I32 => $call!(i32),
            DType::I64 => $call!(i64),
            DType::F32 => $call!(f32),
            DType::F64 => $call!(f64),
            _ => $otherwise,
        }
    };
}

impl Serialize for TensorData {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        let mut fields = into.serialize_struct("TensorData", 4)?;
        fields.serialize_field("name", &self.name)?;
        fields.serialize_field("shape", self.tensor.shape())?;
        fields.serialize_field("datatype", &datatype_name(self.tensor.dtype()))?;
        fields.serialize_field("data", &Data(self.tensor.view()))?;
        fields.end()
    }
}

/// The elements as a flat list.
struct Data<'a>(TensorView<'a>);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        let view = self.0;
        macro_rules! values {
            ($t:ty) => {{
                let values = view.as_slice::<$t>().map_err(S::Error::custom)?;
                if view.dtype() == DType::Bool {
                    into.collect_seq(values.iter().map(|&value| value != <$t>::default()))
                } else {
                    into.collect_seq(values)
                }
            }};
        }
        by_dtype!(
            view.dtype(),
            values,
            Err(S::Error::custom("its dtype has no form in JSON"))
        )
    }
}

/// The fields, `data` not yet looked into.
#[derive(Deserialize)]
struct Fields<'a> {
    name: String,
    #[serde(deserialize_with = "shape")]
    shape: Vec<usize>,
    datatype: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

fn shape<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<usize>, D::Error> {
    bounded(from, MAX_DEPTH)
}

impl<'de> Deserialize<'de> for TensorData {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let fields = Fields::deserialize(from)?;
        let tensor = read(&fields)
            .map_err(|message| D::Error::custom(format!("tensor '{}': {message}", shown(&fields.name))))?;
        Ok(Self {
            name: fields.name,
            tensor,
        })
    }
}

fn read(fields: &Fields<'_>) -> Result<Tensor, String> {
    let dtype = parse_datatype(&fields.datatype)
        .ok_or_else(|| format!("datatype '{}' is not known", shown(&fields.datatype)))?;
    let (shape, text) = (&fields.shape, fields.data.get());
    let wanted = shape.iter().try_fold(1usize, |n, dim| n.checked_mul(*dim));
    let wanted = wanted.ok_or_else(|| format!("its shape {shape:?} holds more elements than any memory"))?;
    // `1,` is an element; the last one lacks the comma.
    if wanted > text.len().div_ceil(2) {
        return Err(format!(
            "its shape {shape:?} holds {wanted} elements, its data fewer"
        ));
    }
    let mut tensor = Tensor::zeros(dtype, shape).map_err(|error| error.to_string())?;
    macro_rules! fill {
        ($t:ty) => {{
            let mut view = tensor.view_mut();
            let room = view.as_mut_slice::<$t>().map_err(|error| error.to_string())?;
            let mut flat = Flat {
                room,
                filled: 0,
                dtype,
            };
            let mut text = serde_json::Deserializer::from_str(text);
            let list = List {
                flat: &mut flat,
                depth: 0,
            };
            list.deserialize(&mut text).map_err(|error| error.to_string())?;
            flat.filled
        }};
    }
    let filled = by_dtype!(
        dtype,
        fill,
        return Err("its dtype has no form in JSON".to_string())
    );
    if filled == wanted {
        return Ok(tensor);
    }
    Err(format!(
        "its shape {shape:?} holds {wanted} elements, its data {filled}"
    ))
}

/// The first characters of a text that somebody else wrote.
fn shown(text: &str) -> &str {
    text.char_indices()
        .nth(MAX_SHOWN)
        .map_or(text, |(end, _)| &text[..end])
}

/// A number of JSON as an element; none where it is not one of this type.
trait FromNumber: Sized {
    fn integer(value: i128) -> Option<Self>;
    fn real(value: f64) -> Option<Self>;
}

macro_rules! integers {
    ($($t:ty),*) => {
        $(impl FromNumber for $t {
            fn integer(value: i128) -> Option<Self> {
                value.try_into().ok()
            }

            fn real(_: f64) -> Option<Self> {
                None
            }
        })*
    };
}

integers!(u8, u16, u32, u64, i8, i16, i32, i64);

macro_rules! reals {
    ($($t:ty),*) => {
        $(impl FromNumber for $t {
            fn integer(value: i128) -> Option<Self> {
                Some(value as $t)
            }

            fn real(value: f64) -> Option<Self> {
                Some(value as $t).filter(|value| value.is_finite())
            }
        })*
    };
}

reals!(f32, f64);

/// A tensor's elements, as far as they are read.
struct Flat<'a, T> {
    room: &'a mut [T],
    filled: usize,
    dtype: DType,
}

impl<T: FromNumber> Flat<'_, T> {
    fn push<E: serde::de::Error>(&mut self, value: Option<T>, text: &dyn fmt::Display) -> Result<(), E> {
        let value = value.ok_or_else(|| {
            let datatype = datatype_name(self.dtype).unwrap_or_default();
            E::custom(format!("element {text} is not of datatype {datatype}"))
        })?;
        let place = self.room.get_mut(self.filled);
        *place.ok_or_else(|| E::custom("its data has more elements than its shape"))? = value;
        self.filled += 1;
        Ok(())
    }
}

/// An element, or a list of lists at this depth.
struct List<'a, 'b, T> {
    flat: &'a mut Flat<'b, T>,
    depth: usize,
}

impl<'de, T: FromNumber> DeserializeSeed<'de> for List<'_, '_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, T: FromNumber> Visitor<'de> for List<'_, '_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers, booleans, or lists of them")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self.depth == MAX_DEPTH {
            let message = format!("its data is nested more than {MAX_DEPTH} deep");
            return Err(A::Error::custom(message));
        }
        loop {
            let inner = List {
                flat: &mut *self.flat,
                depth: self.depth + 1,
            };
            if list.next_element_seed(inner)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        let bool = self.flat.dtype == DType::Bool;
        let element = bool.then_some(i128::from(value)).and_then(T::integer);
        self.flat.push(element, &value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        let fits = self.flat.dtype != DType::Bool || value < 2;
        let element = fits.then_some(i128::from(value)).and_then(T::integer);
        self.flat.push(element, &value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.flat.push(T::integer(i128::from(value)), &value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.flat.push(T::real(value), &value)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.flat.push(None, &format_args!("{:?}", shown(value)))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.flat.push(None, &"null")
    }
}
