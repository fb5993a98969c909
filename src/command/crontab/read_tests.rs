#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::*;

fn only(text: &str) -> Entry {
    let mut crontab = read(text, false);
    assert!(crontab.refused.is_empty(), "{:?}", crontab.refused);
    crontab.entries.remove(0)
}

#[test]
fn settings_hold_for_the_lines_below_them() {
    let text = "0 1 * * * first\nPATH=/a:/b\n \"MAIL TO\" = ' x '\nSHELL = /bin/bash\n0 2 * * * A=b second\nPATH=/c\n0 3 * * * third\n";
    let crontab = read(text, false);
    let [first, second, third] = crontab.entries.as_slice() else {
        panic!("{crontab:?}");
    };
    assert!(first.settings.is_empty());
    assert_eq!(second.setting("PATH"), Some("/a:/b"));
    assert_eq!(second.setting("MAIL TO"), Some(" x "));
    assert_eq!(second.setting("SHELL"), Some("/bin/bash"));
    assert_eq!(second.command, "A=b second");
    assert_eq!((third.setting("PATH"), third.line), (Some("/c"), 7));
}

#[test]
fn a_percent_sign_ends_the_command_unless_it_is_escaped() {
    let entry = only("0 0 1 * * mail -s \"100\\% of $(date +\\%d)\" joe%Joe,%%where?\n");
    assert_eq!(entry.command, "mail -s \"100% of $(date +%d)\" joe");
    assert_eq!(entry.stdin.as_deref(), Some("Joe,\n\nwhere?\n"));
    assert_eq!(only("* * * * * echo \\n").command, "echo \\n");
}

#[test]
fn system_crontabs_name_a_user() {
    let crontab = read(
        "17 * * * *\troot    cd / && run-parts --report /etc/cron.hourly\n@daily www x\n",
        true,
    );
    let users: Vec<_> = crontab
        .entries
        .iter()
        .map(|entry| entry.user.as_deref())
        .collect();
    assert_eq!(users, [Some("root"), Some("www")]);
    assert_eq!(
        crontab.entries[0].command,
        "cd / && run-parts --report /etc/cron.hourly"
    );
}

#[test]
fn flags_before_a_command_are_not_part_of_it() {
    let crontab = read("@hourly root -sn mirror -n\n~ 4 * * * root -x y\n", true);
    let [mirror, other] = crontab.entries.as_slice() else {
        panic!("{crontab:?}");
    };
    assert_eq!(
        (mirror.command.as_str(), mirror.is_single),
        ("mirror -n", true)
    );
    assert!(mirror.notes[0].contains("-sn"), "{:?}", mirror.notes);
    assert_eq!((other.command.as_str(), other.is_single), ("-x y", false));
    assert!(
        other.notes[0].contains("random minute"),
        "{:?}",
        other.notes
    );
    let none = read("* * * * * -n\n", false);
    assert!(none.refused[0].why.contains("no command"), "{none:?}");
}

#[test]
fn comments_right_above_a_line_are_its_own() {
    let entry = only("# far\n\n# Nightly\n#  backup\n-0 3 * * * backup\n");
    assert_eq!((entry.comment.as_str(), entry.line), ("Nightly backup", 5));
}

#[test]
fn what_is_no_line_of_a_crontab_is_refused_with_its_number() {
    let text = "@reboot x\n@often x\n60 * * * * x\n5/15 * * * * x\n0 22-2 * * * x\n0 0 * * mo x\n* * * * *\n0 0 * *\n9~5 * * * * x\n0 0 0 * * x\n*/0 * * * * x\n";
    let crontab = read(text, false);
    assert!(crontab.entries.is_empty(), "{:?}", crontab.entries);
    let lines: Vec<usize> = crontab.refused.iter().map(|one| one.line).collect();
    assert_eq!(lines, (1..=11).collect::<Vec<_>>());
    assert!(!crontab.refused[0].is_mistake && crontab.refused[1].is_mistake);
}

#[test]
fn a_day_field_that_begins_with_a_star_is_joined_with_and() {
    let expression = |fields: &str| {
        let fields: Vec<&str> = fields.split(' ').collect();
        Fields::read(&fields).unwrap().expression()
    };
    assert_eq!(expression("0 0 13 * 5"), "0 0 13 * 5");
    assert_eq!(expression("0 0 */2 * 1"), "0 0 */2 * +1");
    assert_eq!(expression("0 0 1 * */2"), "0 0 1 * +*/2");
    assert_eq!(expression("0 0 * * 1"), "0 0 * * 1");
}
