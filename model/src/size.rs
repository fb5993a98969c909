//! Sizes as people write them: `512MiB`.

/// The units, largest first.
const UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Bytes of a text such as `64KiB`, `512MiB` or `10GiB`; `None` when it is none. Powers of ten
/// (`MB`) are refused: half of those who write them mean the other.
pub fn parse(text: &str) -> Option<u64> {
    let (unit, factor) = UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
    let number = text.strip_suffix(unit)?.trim_end();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_have_a_whole_number_and_a_unit_of_powers_of_two() {
        let good = [
            ("0B", 0),
            ("64KiB", 64 << 10),
            ("512 MiB", 512 << 20),
            ("10GiB", 10 << 30),
        ];
        for (text, bytes) in good {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "MiB",
            "5",
            "5MB",
            "-1B",
            "1.5GiB",
            "99999999999TiB",
            "+1B",
            "1 K iB",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
