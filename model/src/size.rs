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

/// The same, where only powers of two are taken and the unit must stand there: half of those who
/// write `10GB` mean `10GiB`.
pub fn parse_binary(text: &str) -> Option<u64> {
    let unit = text.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let is_binary = unit.ends_with("iB") || unit.trim_start() == "B";
    is_binary.then(|| parse(text)).flatten()
}

#[cfg(test)]
mod tests {
    use super::{parse, parse_binary};

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

    #[test]
    fn where_only_powers_of_two_are_taken_a_unit_must_stand_there() {
        let good = [
            ("0B", 0),
            ("64KiB", 64 << 10),
            ("512 MiB", 512 << 20),
            ("10GiB", 10 << 30),
        ];
        for (text, bytes) in good {
            assert_eq!(parse_binary(text), Some(bytes), "{text}");
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
            assert_eq!(parse_binary(text), None, "{text}");
        }
    }
}
