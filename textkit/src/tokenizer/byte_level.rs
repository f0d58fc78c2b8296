//! GPT-2's alphabet: one printable character for each byte.

/// Returns the character of a byte: itself where it is printable Latin-1, else the next free one from U+0100 on.
pub fn alphabet() -> [char; 256] {
    let mut next = 0x100;
    let mut alphabet = ['\0'; 256];
    for (byte, place) in alphabet.iter_mut().enumerate() {
        let printable = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let code = match printable {
            true => byte as u32,
            false => {
                next += 1;
                next - 1
            }
        };
        *place = char::from_u32(code).unwrap_or('\0');
    }
    alphabet
}

/// Returns the bytes that a text in the alphabet stands for, or None if it is not in the alphabet.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let alphabet = alphabet();
    std::str::from_utf8(text)
        .ok()?
        .chars()
        .map(|c| match c as u32 {
            0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => Some(c as u8),
            0x100..=0x143 => alphabet.iter().position(|&known| known == c).map(|byte| byte as u8),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives() {
        let bytes: Vec<u8> = (0..=255).collect();
        let text: String = bytes.iter().map(|&b| alphabet()[b as usize]).collect();
        assert_eq!(decode(text.as_bytes()), Some(bytes));
        assert_eq!(decode("Ġhi".as_bytes()), Some(b" hi".to_vec()));
        assert_eq!(decode("▁hi".as_bytes()), None);
    }
}
