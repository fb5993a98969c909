//! A line's text in the colours that its task gave it, for pages: never an escape, only words of ours.

use crate::inert::{Seen, walk};

/// How a part of a line looks. Colours are those of terminals, 0 to 15: black, red, green, yellow,
/// blue, magenta, cyan, white, and the same once more brighter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Of the text.
    pub colour: Option<u8>,
    /// Behind it.
    pub behind: Option<u8>,
    /// Bold.
    pub bold: bool,
    /// Weaker than the rest.
    pub dim: bool,
    /// Italic.
    pub italic: bool,
    /// With a line below.
    pub underlined: bool,
}

/// A part of a line that looks alike; its text is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// How it looks.
    pub style: Style,
    /// What it says.
    pub text: String,
}

/// A line with more parts keeps the looks of the last of them to its end: what is shown of a line
/// may not be many times larger than the line.
const PIECES_MAX: usize = 200;

/// The parts of a line. A colour ends with its line, so each line looks the same wherever one
/// begins to read.
pub fn coloured(line: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut style = Style::default();
    walk(line, |seen| match seen {
        Seen::Style(numbers) => style = changed(style, numbers),
        Seen::Sign(sign) => {
            let n_pieces = pieces.len();
            match pieces.last_mut() {
                Some(last) if last.style == style || n_pieces == PIECES_MAX => last.text.push(sign),
                _ => pieces.push(Piece {
                    style,
                    text: sign.to_string(),
                }),
            }
        }
    });
    pieces
}

/// A style after an escape with these numbers. Those that mean nothing here change nothing.
fn changed(mut style: Style, numbers: &str) -> Style {
    let mut numbers = numbers.split([';', ':']).map(|number| match number {
        "" => Some(0),
        number => number.parse::<u16>().ok(),
    });
    while let Some(number) = numbers.next() {
        match number {
            Some(0) => style = Style::default(),
            Some(1) => style.bold = true,
            Some(2) => style.dim = true,
            Some(3) => style.italic = true,
            Some(4) => style.underlined = true,
            Some(7) => std::mem::swap(&mut style.colour, &mut style.behind),
            Some(22) => (style.bold, style.dim) = (false, false),
            Some(23) => style.italic = false,
            Some(24) => style.underlined = false,
            Some(number @ 30..=37) => style.colour = Some(number as u8 - 30),
            Some(number @ 90..=97) => style.colour = Some(number as u8 - 82),
            Some(number @ 40..=47) => style.behind = Some(number as u8 - 40),
            Some(number @ 100..=107) => style.behind = Some(number as u8 - 92),
            Some(38) => style.colour = of_many(&mut numbers).or(style.colour),
            Some(48) => style.behind = of_many(&mut numbers).or(style.behind),
            Some(39) => style.colour = None,
            Some(49) => style.behind = None,
            _ => {}
        }
    }
    style
}

/// One of 256 colours (`5;N`) or of sixteen million (`2;R;G;B`), as the nearest of the sixteen.
fn of_many(numbers: &mut impl Iterator<Item = Option<u16>>) -> Option<u8> {
    let mut next = || numbers.next().flatten();
    match next()? {
        5 => match next()? {
            number @ 0..=15 => Some(number as u8),
            // A cube of six shades of each of red, green and blue.
            number @ 16..=231 => {
                let number = number - 16;
                let shade = |n: u16| n * 51;
                Some(nearest(
                    shade(number / 36),
                    shade(number / 6 % 6),
                    shade(number % 6),
                ))
            }
            number @ 232..=255 => {
                let grey = (number - 232) * 10 + 8;
                Some(nearest(grey, grey, grey))
            }
            _ => None,
        },
        2 => Some(nearest(next()?, next()?, next()?)),
        _ => None,
    }
}

/// Of each of red, green and blue: is there any? And is it bright?
fn nearest(red: u16, green: u16, blue: u16) -> u8 {
    let most = red.max(green).max(blue);
    if most < 48 {
        return 0;
    }
    let has = |shade: u16, bit: u8| if shade * 2 > most { bit } else { 0 };
    let colour = has(red, 1) | has(green, 2) | has(blue, 4);
    if most > 180 { colour + 8 } else { colour }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> String {
        let piece = |piece: &Piece| {
            let Style { colour, behind, .. } = piece.style;
            let mut told = String::new();
            colour.into_iter().for_each(|n| told += &format!("{n}"));
            behind.into_iter().for_each(|n| told += &format!("/{n}"));
            let words = [(piece.style.bold, "b"), (piece.style.underlined, "u")];
            words
                .iter()
                .filter(|(is_so, _)| *is_so)
                .for_each(|(_, word)| told += word);
            format!("[{told}]{}", piece.text)
        };
        coloured(line).iter().map(piece).collect()
    }

    #[test]
    fn colours_are_those_of_a_terminal_and_end_with_their_line() {
        for (line, want) in [
            ("plain", "[]plain"),
            ("a\u{1b}[31mred\u{1b}[0mb", "[]a[1]red[]b"),
            ("\u{1b}[1;4;92;44mx\u{1b}[22;24;39;49my", "[10/4bu]x[]y"),
            ("\u{1b}[mx\u{1b}[35m\u{1b}[ml", "[]xl"),
            ("\u{1b}[38;5;9mx\u{1b}[48;2;0;0;255my", "[9]x[9/12]y"),
            ("\u{1b}[38;5;196mx\u{1b}[38;5;232my", "[9]x[0]y"),
            ("\u{1b}[33;7mx", "[/3]x"),
            ("\u{1b}[999999999;31;38;5mx\u{1b}[Kz", "[1]xz"),
            ("\u{1b}]0;title\u{7}a\u{0}", "[]a␀"),
            ("", ""),
        ] {
            assert_eq!(told(line), want, "{line:?}");
        }
    }

    #[test]
    fn a_line_of_colours_alone_stays_small() {
        let line: String = (0..5000).map(|n| format!("\u{1b}[3{}mx", n % 8)).collect();
        let pieces = coloured(&line);
        assert_eq!(pieces.len(), PIECES_MAX);
        let text: String = pieces.into_iter().map(|piece| piece.text).collect();
        assert_eq!(text, "x".repeat(5000));
    }
}
