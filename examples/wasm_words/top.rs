//! Reads lines `COUNT<tab>WORD` and prints the most frequent words as JSON, the first on a tie by
//! the alphabet. Its argument says how many.

use std::io::BufRead;

fn main() {
    let n = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(10);
    let mut words = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap_or_default();
        let mut parts = line.splitn(2, '\t');
        match (parts.next().and_then(|count| count.parse::<u64>().ok()), parts.next()) {
            (Some(count), Some(word)) => words.push((count, word.to_string())),
            _ => {
                eprintln!("not COUNT<tab>WORD: {}", line);
                std::process::exit(1);
            }
        }
    }
    words.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let total: u64 = words.iter().map(|(count, _)| count).sum();
    let top: Vec<String> = words
        .iter()
        .take(n)
        .map(|(count, word)| format!("{{\"word\": {:?}, \"count\": {}}}", word, count))
        .collect();
    println!("{{\"total\": {}, \"different\": {}, \"top\": [{}]}}", total, words.len(), top.join(", "));
}
