//! Names of files with `*` and `?`.

use std::path::{Path, PathBuf};

/// Files of one folder that are looked at.
const FILES_MAX: usize = 100_000;

/// The files that a path means; its last part may hold `*` and `?`.
///
/// # Errors
/// When it can mean no file.
pub fn matching(path: &Path) -> Result<Vec<PathBuf>, String> {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let (Some(folder), Some(name)) = (path.parent(), name) else {
        return Err(format!("path: {} names no file", path.display()));
    };
    if !name.contains(['*', '?']) {
        return Ok(vec![path.to_path_buf()]);
    }
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(Vec::new()); // not there yet
    };
    let fits = |entry: &std::fs::DirEntry| {
        let own = entry.file_name().to_string_lossy().into_owned();
        !own.starts_with('.') && matches(&name, &own)
    };
    Ok(entries
        .flatten()
        .take(FILES_MAX)
        .filter(fits)
        .map(|entry| entry.path())
        .collect())
}

/// Does a name fit a pattern of `*` and `?`?
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, n) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks_fit_names() {
        for (pattern, name, fits) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("a*b*c", "axxbyybc", true),
            ("a*b*c", "axxbyyb", false),
            ("day-??", "day-21", true),
            ("day-??", "day-1", false),
            ("*", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
