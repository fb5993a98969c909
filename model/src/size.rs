//! Sizes as people write them: `512MiB`.

/// The bytes of a text such as `512`, `64KiB`, `8 MiB` or `2GB`: a whole number, and a unit of
/// powers of two (`KiB`) or of ten (`kB`); `None` when it is none.
pub fn parse(text: &str) -> Option<u64> {
    let n_digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text.get(..n_digits)?.parse().ok()?;
    let unit: u64 = match text[n_digits..].trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        "TB" => 1_000_000_000_000,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_have_a_whole_number_and_a_binary_or_decimal_unit() {
        for (text, bytes) in [
            ("512", Some(512)),
            ("0B", Some(0)),
            ("64KiB", Some(65_536)),
            ("8 MiB", Some(8_388_608)),
            ("2GB", Some(2_000_000_000)),
            ("99999999999999TiB", None),
            ("MiB", None),
            ("1.5GiB", None),
            ("-1B", None),
            ("+1B", None),
            ("1 K iB", None),
            ("", None),
        ] {
            assert_eq!(parse(text), bytes, "{text}");
        }
    }
}
