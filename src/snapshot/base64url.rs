//! base64url (RFC 4648 section 5), written, and read strictly. It stands here, in a few lines, because browsers download it.

/// The bytes that a text without padding stands for; nothing where it is not the one text that stands for them.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    // Bits that make no byte yet.
    let (mut held, mut count) = (0, 0);
    for &byte in text {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        held = held << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((held >> count) as u8);
            held &= (1 << count) - 1;
        }
    }
    // A lone last character carries no byte, and what is left of one that does must be zero.
    (count < 6 && held == 0).then_some(bytes)
}

/// The text, without padding, that stands for bytes.
#[cfg(feature = "compiler")]
pub(super) fn encode(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().chain(&[0, 0]).take(3).fold(0, |bits, &byte| bits << 8 | usize::from(byte));
        let characters = [18, 12, 6, 0].map(|shift| char::from(ALPHABET[bits >> shift & 63]));
        text.extend(&characters[..=chunk.len()]);
    }
    text
}

#[cfg(all(test, feature = "definitions"))]
mod tests {
    use super::{decode, encode};
    use base64ct::{Base64UrlUnpadded, Encoding};

    #[test]
    fn reads_what_the_library_reads() {
        // Every text of up to three characters that could matter, behind what makes it the end of a longer one.
        let alphabet = b"ABCDQRghwxyz0189-_=+/ \n\xc3";
        for prefix in ["", "AAAA", "_-_-"] {
            for length in 0..=3 {
                for number in 0..alphabet.len().pow(length) {
                    let pick = |place| alphabet[number / alphabet.len().pow(place) % alphabet.len()];
                    let tail: String = (0..length).map(|place| char::from(pick(place))).collect();
                    let text = format!("{prefix}{tail}");
                    assert_eq!(decode(text.as_bytes()), Base64UrlUnpadded::decode_vec(&text).ok(), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn writes_and_reads_every_byte() {
        for length in 0..70 {
            let bytes: Vec<u8> = (0..length).map(|at: u8| at.wrapping_mul(37)).collect();
            let text = Base64UrlUnpadded::encode_string(&bytes);
            assert_eq!(encode(&bytes), text);
            assert_eq!(decode(text.as_bytes()), Some(bytes));
        }
    }
}
