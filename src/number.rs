//! Decimal numbers: from text to the nearest double, and whole ones to text.

/// A whole number in decimal.
///
/// What the standard library formats numbers with would be a hundredth of the download.
pub(crate) fn decimal(number: i64) -> String {
    let mut digits = [b'0'; 20];
    let (mut place, mut rest) = (digits.len(), number.unsigned_abs());
    loop {
        place -= 1;
        digits[place] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let sign = if number < 0 { "-" } else { "" };
    sign.chars().chain(digits[place..].iter().map(|digit| char::from(*digit))).collect()
}

/// Parses the text of a JSON number.
///
/// In a browser JavaScript does it: its `Number` and Rust's `parse` both round to the nearest double, and Rust's tables
/// for it would be a fifth of the download.
#[cfg(not(all(target_arch = "wasm32", feature = "wasm")))]
pub(crate) fn parse(text: &str) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}

#[cfg(all(target_arch = "wasm32", feature = "wasm"))]
pub(crate) fn parse(text: &str) -> f64 {
    // Whole numbers, the most common kind, need no crossing.
    match text.parse::<i32>() {
        Ok(whole) if whole != 0 => f64::from(whole),
        _ => crate::wasm::parse_number(text),
    }
}
