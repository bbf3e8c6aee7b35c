//! The two ends of a file as tokens, a byte each. What the step means is said at
//! [`BytesHeadTail`](sanderling_bundle::BytesHeadTail).

use super::tensor_of;
use crate::error::SessionError;
use sanderling_bundle::BytesHeadTail;
use sanderling_core::{DType, Tensor};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// The two ends of a file; they overlap where it is short.
#[derive(Debug, Clone, Copy)]
pub struct FileEnds<'a> {
    /// Bytes from the start.
    pub start: &'a [u8],
    /// Bytes up to the end.
    pub end: &'a [u8],
    /// Length of the file.
    pub len: u64,
}

impl<'a> FileEnds<'a> {
    /// Of a file in memory.
    #[must_use]
    pub fn of(file: &'a [u8], block: usize) -> Self {
        let block = block.min(file.len());
        Self {
            start: &file[..block],
            end: &file[file.len() - block..],
            len: file.len() as u64,
        }
    }
}

/// The two ends of a file, read from it.
#[derive(Debug, Clone, Default)]
pub struct FileBlocks {
    start: Vec<u8>,
    end: Vec<u8>,
    len: u64,
}

impl FileBlocks {
    /// Reads at most `block` bytes from either end.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(path: impl AsRef<Path>, block: usize) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        let mut start = Vec::new();
        file.by_ref().take(block as u64).read_to_end(&mut start)?;
        // What is not a regular file has no length and no other end.
        if len <= start.len() as u64 {
            return Ok(Self {
                len: start.len() as u64,
                end: start.clone(),
                start,
            });
        }
        let mut end = Vec::new();
        file.seek(SeekFrom::Start(len.saturating_sub(block as u64)))?;
        file.take(block as u64).read_to_end(&mut end)?;
        Ok(Self { start, end, len })
    }

    /// A view of them.
    #[must_use]
    pub fn ends(&self) -> FileEnds<'_> {
        FileEnds {
            start: &self.start,
            end: &self.end,
            len: self.len,
        }
    }
}

/// Space, tab, line feed, vertical tab, form feed, carriage return.
fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// The tokens, or the label of a file that is too short for the model.
pub(super) fn prepare(
    step: &BytesHeadTail,
    ends: &FileEnds<'_>,
    dtype: DType,
) -> Result<Result<Tensor, String>, SessionError> {
    let block = step.block as usize;
    let mut start = &ends.start[..ends.start.len().min(block)];
    let mut end = &ends.end[ends.end.len().saturating_sub(block)..];
    if step.strip_ascii_whitespace {
        start = &start[start.iter().take_while(|b| is_space(b)).count()..];
        end = &end[..end.len() - end.iter().rev().take_while(|b| is_space(b)).count()];
    }
    let least = step.min_bytes as usize;
    if let Some(short) = &step.short
        && (ends.len < least as u64 || start.len() < least)
    {
        let label = if ends.len == 0 {
            &short.empty
        } else if std::str::from_utf8(ends.start).is_ok() {
            &short.text
        } else {
            &short.binary
        };
        return Ok(Err(label.clone()));
    }
    let (head, tail) = (step.head as usize, step.tail as usize);
    let start = &start[..start.len().min(head)];
    let end = &end[end.len().saturating_sub(tail)..];
    let padding = |n: usize| std::iter::repeat_n(step.padding_token as f32, n);
    let token = |&byte: &u8| f32::from(byte);
    let tokens = start
        .iter()
        .map(token)
        .chain(padding(head - start.len()))
        .chain(padding(tail - end.len()))
        .chain(end.iter().map(token));
    Ok(Ok(tensor_of(dtype, &[1, head + tail], tokens)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sanderling_bundle::ShortAnswer;

    fn step() -> BytesHeadTail {
        BytesHeadTail {
            head: 4,
            tail: 3,
            block: 6,
            padding_token: 256,
            strip_ascii_whitespace: true,
            min_bytes: 2,
            short: Some(ShortAnswer {
                empty: "empty".into(),
                text: "txt".into(),
                binary: "unknown".into(),
            }),
        }
    }

    fn tokens(file: &[u8]) -> Result<Vec<i32>, String> {
        let prepared = prepare(&step(), &FileEnds::of(file, 6), DType::I32).unwrap();
        prepared.map(|tensor| tensor.view().as_slice::<i32>().unwrap().to_vec())
    }

    #[test]
    fn ends_are_stripped_cut_and_padded() {
        assert_eq!(tokens(b"abcdefghij").unwrap(), [97, 98, 99, 100, 104, 105, 106]);
        assert_eq!(
            tokens(b" \tab").unwrap(),
            [97, 98, 256, 256, 32, 97, 98].map(|t| if t == 32 { 9 } else { t })
        );
        assert_eq!(tokens(b"ab\n\n").unwrap(), [97, 98, 10, 10, 256, 97, 98]);
    }

    #[test]
    fn short_files_are_answered_by_rule() {
        assert_eq!(tokens(b""), Err("empty".to_string()));
        assert_eq!(tokens(b"a"), Err("txt".to_string()));
        assert_eq!(tokens(&[0xff]), Err("unknown".to_string()));
        assert_eq!(
            tokens(b"     x"),
            Err("txt".to_string()),
            "one byte is left after stripping"
        );
    }

    #[test]
    fn blocks_of_a_file_are_those_of_its_bytes() {
        let path = std::env::temp_dir().join(format!("sanderling-blocks-{}", std::process::id()));
        for len in [0usize, 3, 6, 7, 40] {
            let file: Vec<u8> = (0..len).map(|i| i as u8).collect();
            std::fs::write(&path, &file).unwrap();
            let blocks = FileBlocks::read(&path, 6).unwrap();
            let (read, whole) = (blocks.ends(), FileEnds::of(&file, 6));
            assert_eq!(
                (read.start, read.end, read.len),
                (whole.start, whole.end, whole.len)
            );
        }
        std::fs::remove_file(&path).unwrap();
    }
}
