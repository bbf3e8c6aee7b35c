//! JSON, read once and strictly, and its canonical bytes.
//!
//! TUF signs the [OLPC canonical form] of a JSON value, not the bytes that were sent, so two readers of the
//! same bytes must never see two different values. Therefore one parse makes one [`Value`]; signatures are
//! checked over [`Value::canonical`] of it and the typed views are read from it. What parsers disagree about
//! is refused: duplicate keys, floats, integers beyond 64 bits, depth over [`MAX_DEPTH`], trailing bytes.
//!
//! Strings are kept code point by code point; nothing is normalised.
//!
//! [OLPC canonical form]: https://wiki.laptop.org/go/Canonical_JSON

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Deepest nesting of arrays and objects that is read. TUF metadata needs eight.
pub const MAX_DEPTH: usize = 32;

/// A JSON value without floats. Object keys are in order of their UTF-8 bytes, which is code point order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer that fits into an `i64` or a `u64`.
    Int(i128),
    /// Text, exactly as sent.
    String(String),
    /// A list.
    Array(Vec<Value>),
    /// A map without duplicate keys.
    Object(BTreeMap<String, Value>),
}

/// Why bytes are not JSON in the strict sense of this module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not strict JSON: {reason}")]
pub struct JsonError {
    /// What was wrong, with line and column.
    pub reason: String,
}

impl Value {
    /// Reads exactly one value.
    ///
    /// # Errors
    /// [`JsonError`] for bytes that are not JSON or hold what this module refuses.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        Node { depth: 0 }
            .deserialize(&mut reader)
            .and_then(|value| reader.end().map(|()| value))
            .map_err(|error| JsonError {
                reason: error.to_string(),
            })
    }

    /// An object of these entries; of equal keys the last stands.
    pub fn object<const N: usize>(entries: [(&str, Value); N]) -> Self {
        Self::Object(
            entries
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        )
    }

    /// The OLPC canonical form: keys sorted, no blanks, only `"` and `\` escaped. These bytes are signed; where
    /// strings hold control characters they are not JSON.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out, write_canonical_string);
        out
    }

    /// JSON text of this value: the canonical form, but with control characters escaped, so that every JSON
    /// reader takes it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out, write_json_string);
        out
    }

    /// The field of an object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object().and_then(|object| object.get(key))
    }

    /// The entries, if this is an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&BTreeMap<String, Value>> {
        if let Self::Object(object) = self {
            Some(object)
        } else {
            None
        }
    }

    /// The items, if this is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Self::Array(items) = self {
            Some(items)
        } else {
            None
        }
    }

    /// The text, if this is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The number, if this is an integer from 0 to 2⁶⁴ − 1.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        if let Self::Int(number) = self {
            u64::try_from(*number).ok()
        } else {
            None
        }
    }

    /// The truth, if this is a boolean.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self {
            Some(*truth)
        } else {
            None
        }
    }

    /// Depth is bounded for parsed values by [`MAX_DEPTH`] and for built ones by the code that builds them.
    fn write(&self, out: &mut Vec<u8>, string: fn(&str, &mut Vec<u8>)) {
        match self {
            Self::Null => out.extend(b"null"),
            Self::Bool(true) => out.extend(b"true"),
            Self::Bool(false) => out.extend(b"false"),
            Self::Int(number) => out.extend(number.to_string().bytes()),
            Self::String(text) => string(text, out),
            Self::Array(items) => {
                out.push(b'[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    item.write(out, string);
                }
                out.push(b']');
            }
            Self::Object(entries) => {
                out.push(b'{');
                for (i, (key, value)) in entries.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    string(key, out);
                    out.push(b':');
                    value.write(out, string);
                }
                out.push(b'}');
            }
        }
    }
}

fn write_canonical_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn write_json_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            0..=0x1f => {
                out.extend(b"\\u00");
                out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(number.into())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

/// Reads the value that sits at `depth`.
#[derive(Clone, Copy)]
struct Node {
    depth: usize,
}

impl Node {
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH}")));
        }
        Ok(Self {
            depth: self.depth + 1,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Node {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value without floats")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Int(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Value, E> {
        Err(E::custom("floats and integers beyond 64 bits are refused"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(inside)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(inside)?;
            if entries.contains_key(&key) {
                return Err(A::Error::custom(format_args!(
                    "the key {key:?} appears twice in one object"
                )));
            }
            entries.insert(key, value);
        }
        Ok(Value::Object(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(json: &str, canonical: Result<&str, &str>) {
        match (Value::parse(json.as_bytes()), canonical) {
            (Ok(value), Ok(wanted)) => {
                assert_eq!(core::str::from_utf8(&value.canonical()), Ok(wanted), "{json}")
            }
            (Err(error), Err(wanted)) => assert!(error.reason.contains(wanted), "{json}: {error}"),
            (found, wanted) => panic!("{json}: {found:?}, wanted {wanted:?}"),
        }
    }

    /// Golden vectors of the canonical form, written down from its definition.
    #[test]
    fn canonical_form() {
        check("{}", Ok("{}"));
        check(" [ 1 , -2,\t3 ]\n", Ok("[1,-2,3]"));
        check(
            r#"{"b": 1, "a": [true, false, null]}"#,
            Ok(r#"{"a":[true,false,null],"b":1}"#),
        );
        check(
            r#"{"a10": 1, "a2": 2, "A": 3, "": 4}"#,
            Ok(r#"{"":4,"A":3,"a10":1,"a2":2}"#),
        );
        check(r#""\u0041\/\n\t\u0000\"\\""#, Ok("\"A/\n\t\0\\\"\\\\\""));
        // Composed and decomposed é stay two different strings; order is that of code points, not of UTF-16.
        check("\"e\u{301} \u{e9}\"", Ok("\"e\u{301} \u{e9}\""));
        check(
            "{\"\u{1f426}\":1,\"\u{ff5e}\":2}",
            Ok("{\"\u{ff5e}\":2,\"\u{1f426}\":1}"),
        );
        check(r#""\ud83d\udc26""#, Ok("\"\u{1f426}\""));
        check("18446744073709551615", Ok("18446744073709551615"));
        check("-9223372036854775808", Ok("-9223372036854775808"));
    }

    #[test]
    fn refused() {
        check(r#"{"a": 1, "a": 1}"#, Err("appears twice"));
        check(r#"{"a": 1, "\u0061": 2}"#, Err("appears twice"));
        check(r#"{"x": [{"a": 1, "b": 0, "a": 2}]}"#, Err("appears twice"));
        check("1.0", Err("floats"));
        check("1e3", Err("floats"));
        check("-0", Err("floats"));
        check("18446744073709551616", Err("floats"));
        check("01", Err("invalid number"));
        check("NaN", Err("expected"));
        check("{} {}", Err("trailing"));
        check(r#"{"a": 1,}"#, Err("trailing comma"));
        check(r#""\ud83d""#, Err("hex escape"));
        check("\"\n\"", Err("control character"));
        check("", Err("EOF"));
        check("\u{feff}{}", Err("expected"));
        check(&("[".repeat(33) + &"]".repeat(33)), Err("nested deeper"));
        check(&("[".repeat(100_000)), Err("nested deeper"));
        let deepest = "[".repeat(32) + &"]".repeat(32);
        check(&deepest, Ok(&deepest));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|n| Value::Int(n.into())),
            any::<u64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(Value::Object),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_round_trips(value in values()) {
            prop_assert_eq!(Value::parse(&value.to_json()), Ok(value));
        }

        #[test]
        fn parsing_is_total(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Value::parse(&bytes);
        }

        #[test]
        fn parsing_is_total_near_json(text in r#"[\[\]{}",:0-9a-z\\. -]{0,60}"#) {
            if let Ok(value) = Value::parse(text.as_bytes()) {
                prop_assert_eq!(Value::parse(&value.to_json()), Ok(value));
            }
        }
    }
}
