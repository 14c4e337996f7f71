//! Reading and writing the crate's binary formats: little-endian integers, LEB128 varints, runs of
//! bytes. The reader never panics and never allocates from a length it has not checked.
//!
//! Source: docs/formats/manifest.md, "Encoding".

/// Why bytes cannot be decoded. `at` is the offset of the first byte not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends inside a value.
    #[error("input ends at byte {at}")]
    Truncated { at: usize },
    /// A varint is longer than needed or does not fit.
    #[error("number at byte {at} is out of range")]
    Number { at: usize },
    /// Bytes follow the last value.
    #[error("{extra} bytes follow the end at byte {at}")]
    Trailing { at: usize, extra: usize },
}

/// Reads values from the front of a byte slice.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The offset of the next byte.
    pub fn at(&self) -> usize {
        self.at
    }

    /// True when everything was read.
    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(count).ok_or(DecodeError::Truncated { at: self.at })?;
        let taken = self.bytes.get(self.at..end).ok_or(DecodeError::Truncated { at: self.at })?;
        self.at = end;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let at = self.at;
        self.take(N)?.try_into().ok().ok_or(DecodeError::Truncated { at })
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// A little-endian 16-bit number.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// A little-endian 32-bit number.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A little-endian 64-bit number.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// An unsigned LEB128 number in its shortest form.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let start = self.at;
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let low = u64::from(byte & 0x7f);
            if shift == 63 && low > 1 {
                break;
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                let is_shortest = byte != 0 || shift == 0;
                return if is_shortest { Ok(value) } else { Err(DecodeError::Number { at: start }) };
            }
        }
        Err(DecodeError::Number { at: start })
    }

    /// A varint that fits 32 bits.
    pub fn varint32(&mut self) -> Result<u32, DecodeError> {
        let at = self.at;
        u32::try_from(self.varint()?).ok().ok_or(DecodeError::Number { at })
    }

    /// A signed number, zigzag in a varint.
    pub fn signed(&mut self) -> Result<i64, DecodeError> {
        let raw = self.varint()?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    /// Fails when bytes are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            extra => Err(DecodeError::Trailing { at: self.at, extra }),
        }
    }
}

/// Appends an unsigned LEB128 number.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed number, zigzag in a varint.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

#[cfg(test)]
mod tests {
    use super::{DecodeError, Reader, put_signed, put_varint};
    use proptest::prelude::{any, proptest};

    proptest! {
        #[test]
        fn numbers_survive_a_round_trip(a in any::<u64>(), b in any::<i64>()) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, a);
            put_signed(&mut bytes, b);
            let mut reader = Reader::new(&bytes);
            assert_eq!((reader.varint(), reader.signed()), (Ok(a), Ok(b)));
            assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn long_or_overflowing_numbers_are_refused() {
        for bytes in
            [&[0x80, 0x00][..], &[0xff; 10], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]]
        {
            assert_eq!(Reader::new(bytes).varint(), Err(DecodeError::Number { at: 0 }), "{bytes:?}");
        }
        assert_eq!(Reader::new(&[0x80]).varint(), Err(DecodeError::Truncated { at: 1 }));
    }
}
