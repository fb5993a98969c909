//! Users of this machine, from its own files.

use crate::sys::Ids;

/// A user that a task runs as.
pub(crate) struct User {
    /// Its numbers.
    pub ids: Ids,
    /// Its name.
    pub name: String,
    /// Its home folder.
    pub home: String,
}

/// Finds a user by name or number in `/etc/passwd`, with its groups from `/etc/group`.
pub(crate) fn find(name: &str) -> Result<User, String> {
    let read = |path: &str| {
        std::fs::read_to_string(path).map_err(|err| format!("cannot read {path}: {err}"))
    };
    find_in(name, &read("/etc/passwd")?, &read("/etc/group")?)
}

fn find_in(name: &str, passwd: &str, group: &str) -> Result<User, String> {
    for line in passwd.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [login, _, uid, gid, _, home, ..] = fields.as_slice() else {
            continue;
        };
        if *login != name && *uid != name {
            continue;
        }
        let number = |text: &str| {
            text.parse::<u32>()
                .map_err(|_| format!("/etc/passwd has a wrong entry for `{name}`"))
        };
        let (uid, gid) = (number(uid)?, number(gid)?);
        let groups = group.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [_, _, number, members] = fields.as_slice() else {
                return None;
            };
            members
                .split(',')
                .any(|member| member == *login)
                .then(|| number.parse().ok())?
        });
        let groups = groups.chain([gid]).collect();
        return Ok(User {
            ids: Ids { uid, gid, groups },
            name: (*login).to_string(),
            home: (*home).to_string(),
        });
    }
    Err(format!(
        "there is no user `{name}` in /etc/passwd; create it or change run_as_user"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_with_all_its_groups() {
        let passwd = "root:x:0:0::/root:/bin/sh\netl:x:1001:100:ETL:/home/etl:/bin/sh\n";
        let group = "users:x:100:\nwheel:x:10:root,etl\nother:x:11:root\n";
        for name in ["etl", "1001"] {
            let found = find_in(name, passwd, group).map(|user| (user.ids, user.name, user.home));
            let ids = Ids {
                uid: 1001,
                gid: 100,
                groups: vec![10, 100],
            };
            assert_eq!(found, Ok((ids, "etl".to_string(), "/home/etl".to_string())));
        }
        assert!(find_in("nobody", passwd, group).is_err());
    }
}
