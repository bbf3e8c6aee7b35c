//! Cutting the arena into the disjoint pieces that a step uses.

use crate::layout::Region;

/// One region of a step.
#[derive(Default)]
pub(crate) enum Piece<'a> {
    /// No region, or already taken.
    #[default]
    Taken,
    /// Read, by as many operands as like.
    Read(&'a [u8]),
    /// Written, by one.
    Write(&'a mut [u8]),
}

impl<'a> Piece<'a> {
    pub(crate) fn read(&self) -> Option<&'a [u8]> {
        match self {
            Self::Read(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn take(&mut self) -> Option<&'a mut [u8]> {
        match core::mem::take(self) {
            Self::Write(bytes) => Some(bytes),
            other => {
                *self = other;
                None
            }
        }
    }
}

/// The pieces of `regions`, which are disjoint and rise; none where they are not, lie outside or are more than `N`.
pub(crate) fn cut<'a, const N: usize>(arena: &'a mut [u8], regions: &[Region]) -> Option<[Piece<'a>; N]> {
    if regions.len() > N {
        return None;
    }
    let mut pieces: [Piece<'a>; N] = core::array::from_fn(|_| Piece::Taken);
    let (mut rest, mut at) = (arena, 0);
    for (piece, region) in pieces.iter_mut().zip(regions) {
        let skip = region.range.start.checked_sub(at)?;
        let (_, tail) = rest.split_at_mut_checked(skip)?;
        let (bytes, tail) = tail.split_at_mut_checked(region.range.len())?;
        *piece = if region.write {
            Piece::Write(bytes)
        } else {
            Piece::Read(bytes)
        };
        (rest, at) = (tail, region.range.end);
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(range: core::ops::Range<usize>, write: bool) -> Region {
        Region { range, write }
    }

    #[test]
    fn pieces_are_what_the_regions_say() {
        let mut arena: [u8; 8] = core::array::from_fn(|i| i as u8);
        let mut pieces = cut::<4>(
            &mut arena,
            &[region(1..3, false), region(3..4, true), region(6..8, false)],
        )
        .unwrap();
        assert_eq!(pieces[0].read(), Some(&[1u8, 2][..]));
        assert_eq!(pieces[2].read(), Some(&[6u8, 7][..]));
        assert!(pieces[0].take().is_none());
        assert_eq!(pieces[1].take().unwrap(), &[3]);
        assert!(pieces[1].take().is_none(), "written by one only");
    }

    #[test]
    fn overlaps_and_ends_are_refused() {
        let mut arena = [0u8; 8];
        assert!(cut::<4>(&mut arena, &[region(0..4, false), region(3..5, true)]).is_none());
        assert!(cut::<4>(&mut arena, &[region(4..5, false), region(0..1, true)]).is_none());
        assert!(cut::<4>(&mut arena, &[region(7..9, false)]).is_none());
        assert!(cut::<1>(&mut arena, &[region(0..1, false), region(1..2, false)]).is_none());
    }
}
