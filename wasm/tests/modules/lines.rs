//! Counts the lines and words that it reads.
use std::io::Read;

fn main() {
    let mut text = String::new();
    if std::io::stdin().read_to_string(&mut text).is_err() {
        eprintln!("standard input is not text");
        std::process::exit(2);
    }
    let words = text.split_whitespace().count();
    println!("{{\"lines\": {}, \"words\": {}}}", text.lines().count(), words);
}
