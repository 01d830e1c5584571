//! Bars and columns.

/// A bar of at most `width` characters for a share of the whole, in eighths of a character.
pub fn bar(share: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    let mut text = "█".repeat(eighths / 8);
    text += EIGHTHS[eighths % 8];
    // What is there is seen, however small.
    if text.is_empty() && share > 0.0 { EIGHTHS[1].to_owned() } else { text }
}

/// Thousandths of a percent as a percent.
pub fn percent(thousandths: u32) -> String {
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Positions from 0 to 100 %: those that are in, and the user's own.
pub fn scale(percent: u32, position: u32) -> String {
    const WIDTH: usize = 40;
    let cell = |thousandths: u32| (thousandths as usize * WIDTH / 100_000).min(WIDTH - 1);
    let full = percent as usize * WIDTH / 100_000;
    let cells = (0..WIDTH).map(|index| match () {
        () if index == cell(position) => '●',
        () if index < full => '█',
        () => '░',
    });
    cells.collect()
}

/// Rows in columns: the first flush left, the others flush right.
pub fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    rows.iter()
        .map(|row| {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let width = width(column).unwrap_or_default();
                if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            cells.collect::<Vec<_>>().join("  ")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_eighths_and_never_hide_the_few() {
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(0.5, 1), "▌");
        assert_eq!(bar(0.0, 10), "");
        assert_eq!(bar(0.000_01, 10), "▏");
    }

    #[test]
    fn percents_have_the_places_they_need() {
        assert_eq!(percent(25_000), "25 %");
        assert_eq!(percent(12_345), "12.345 %");
        assert_eq!(percent(100_000), "100 %");
        assert_eq!(percent(0), "0 %");
        assert_eq!(percent(1), "0.001 %");
    }

    #[test]
    fn a_scale_has_the_user_among_the_positions() {
        assert_eq!(scale(50_000, 0).chars().filter(|c| *c == '█').count(), 19);
        assert!(scale(0, 99_999).ends_with('●'));
    }
}
