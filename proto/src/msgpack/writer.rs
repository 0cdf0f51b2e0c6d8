//! The shortest form of each value.

use bytes::{BufMut, BytesMut};

/// Writes the shortest form of each value.
pub(crate) struct Writer<'o> {
    out: &'o mut BytesMut,
}

impl<'o> Writer<'o> {
    pub(crate) const fn new(out: &'o mut BytesMut) -> Self {
        Self { out }
    }

    pub(crate) fn map(&mut self, entries: usize) {
        match u32::try_from(entries).unwrap_or(u32::MAX) {
            n @ 0..=15 => self.out.put_u8(0x80 | n.to_be_bytes()[3]),
            n => self.marked(0xde, n, 2),
        }
    }

    pub(crate) fn array(&mut self, elements: usize) {
        match u32::try_from(elements).unwrap_or(u32::MAX) {
            n @ 0..=15 => self.out.put_u8(0x90 | n.to_be_bytes()[3]),
            n => self.marked(0xdc, n, 2),
        }
    }

    pub(crate) fn number(&mut self, value: u64) {
        match value {
            0..=0x7f => self.out.put_uint(value, 1),
            0x80..=0xff => {
                self.out.put_u8(0xcc);
                self.out.put_uint(value, 1);
            }
            0x100..=0xffff => {
                self.out.put_u8(0xcd);
                self.out.put_uint(value, 2);
            }
            0x1_0000..=0xffff_ffff => {
                self.out.put_u8(0xce);
                self.out.put_uint(value, 4);
            }
            _ => {
                self.out.put_u8(0xcf);
                self.out.put_u64(value);
            }
        }
    }

    pub(crate) fn str(&mut self, text: &str) {
        match u32::try_from(text.len()).unwrap_or(u32::MAX) {
            n @ 0..=31 => self.out.put_u8(0xa0 | n.to_be_bytes()[3]),
            n @ 32..=255 => self.marked(0xd9, n, 1),
            n @ 256..=65_535 => self.marked(0xda, n, 2),
            n => self.marked(0xdb, n, 4),
        }
        self.out.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn octets(&mut self, octets: &[u8]) {
        match u32::try_from(octets.len()).unwrap_or(u32::MAX) {
            n @ 0..=255 => self.marked(0xc4, n, 1),
            n @ 256..=65_535 => self.marked(0xc5, n, 2),
            n => self.marked(0xc6, n, 4),
        }
        self.out.extend_from_slice(octets);
    }

    fn marked(&mut self, marker: u8, length: u32, width: usize) {
        self.out.put_u8(marker);
        self.out.put_uint(length.into(), width);
    }

    pub(crate) fn truth(&mut self) {
        self.out.put_u8(0xc3);
    }

    /// A value that was encoded elsewhere.
    pub(crate) fn encoded(&mut self, value: &[u8]) {
        self.out.extend_from_slice(value);
    }
}
