//! From decimal text to the nearest double.

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
