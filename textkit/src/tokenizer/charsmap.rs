//! SentencePiece's precompiled character map: a double-array trie from texts to their normal forms.
//!
//! Layout: the trie's size in bytes (u32), the trie's units (u32 each, little-endian), then the normal forms, each
//! ended by a zero byte.

use crate::error::{Error, Result};

pub struct Charsmap {
    units: Vec<u32>,
    forms: Vec<u8>,
}

impl Charsmap {
    pub fn new(bytes: &[u8]) -> Result<Charsmap> {
        let wrong = |what: &str| Error::invalid(format!("tokenizer.ggml.precompiled_charsmap: {what}"));
        let (size, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| wrong("shorter than its header"))?;
        let size = u32::from_le_bytes(*size) as usize;
        if size > rest.len() {
            return Err(wrong("its trie is larger than the map"));
        }
        let (trie, forms) = rest.split_at(size);
        let units = trie
            .chunks_exact(4)
            .map(|unit| u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]]))
            .collect();
        if forms.last().is_some_and(|&last| last != 0) {
            return Err(wrong("its last form has no end"));
        }
        Ok(Charsmap { units, forms: forms.to_vec() })
    }

    /// Replaces each longest known text by its normal form.
    pub fn apply(&self, text: &str) -> String {
        let mut normal = Vec::with_capacity(text.len());
        let mut at = 0;
        while at < text.len() {
            let width = match self.longest(&text.as_bytes()[at..]) {
                Some((len, form)) => {
                    normal.extend_from_slice(form);
                    len
                }
                None => {
                    let width = text[at..].chars().next().map_or(1, char::len_utf8);
                    normal.extend_from_slice(&text.as_bytes()[at..at + width]);
                    width
                }
            };
            at += width;
            // A hostile map may end a key inside a character.
            while !text.is_char_boundary(at) {
                at += 1;
            }
        }
        String::from_utf8(normal).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }

    /// Returns the length of the longest known prefix and its normal form. A place outside the trie ends the
    /// search.
    fn longest(&self, text: &[u8]) -> Option<(usize, &[u8])> {
        let offset = |unit: u32| (unit >> 10) << ((unit & (1 << 9)) >> 6);
        let mut place = offset(*self.units.first()?) as usize;
        let mut found = None;
        for (at, &byte) in text.iter().enumerate() {
            place ^= byte as usize;
            let Some(&unit) = self.units.get(place) else { break };
            if byte == 0 || unit & (1 << 31 | 0xff) != u32::from(byte) {
                break;
            }
            place ^= offset(unit) as usize;
            if unit >> 8 & 1 == 1 {
                let value = self.units.get(place).map(|leaf| (leaf & !(1 << 31)) as usize);
                found = value.and_then(|start| self.forms.get(start..)).map(|form| {
                    let end = form.iter().position(|&b| b == 0).unwrap_or(form.len());
                    (at + 1, &form[..end])
                });
            }
        }
        found
    }
}
