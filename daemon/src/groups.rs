//! Groups of users on this host: who may do what at the agents' door beyond being an agent. Read from `/etc/group` and
//! `/etc/passwd` alone; directories on the network are not asked.

use std::fs;
use std::path::Path;

use crate::StartError;

const GROUPS: &str = "/etc/group";
const USERS: &str = "/etc/passwd";

/// Who may change what this node has and owes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Admins {
    /// The user that runs the daemon.
    owner: u32,
    group: Option<Group>,
}

/// A group, as it stands in the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Group {
    name: String,
    pub(crate) id: u32,
}

impl Admins {
    /// Root, whoever runs the daemon, and the members of the group that the configuration names.
    pub(crate) fn new(group: Option<&str>) -> Result<Self, StartError> {
        let group = group.map(|name| Group::find("socket.admin_group", name)).transpose()?;
        Ok(Self { owner: rustix::process::geteuid().as_raw(), group })
    }

    /// Whether a process of this user and group, as the kernel told them, is one of them. Members are read anew, so
    /// that a new one need not wait for a restart.
    pub(crate) fn hold(&self, uid: u32, gid: u32) -> bool {
        if uid == 0 || uid == self.owner {
            return true;
        }
        let Some(group) = &self.group else { return false };
        gid == group.id || is_member(&read(Path::new(GROUPS)), &read(Path::new(USERS)), &group.name, uid)
    }
}

impl Group {
    /// The group of that name, which must be there.
    pub(crate) fn find(key: &'static str, name: &str) -> Result<Self, StartError> {
        let id = group_id(&read(Path::new(GROUPS)), name);
        let id = id.ok_or_else(|| StartError::NoSuchGroup { key, name: name.into() })?;
        Ok(Self { name: name.into(), id })
    }
}

/// What cannot be read names nobody.
fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// `name:password:id:member,member`.
fn group_id(groups: &str, name: &str) -> Option<u32> {
    let line = groups.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

fn is_member(groups: &str, users: &str, name: &str, uid: u32) -> bool {
    let Some(line) = groups.lines().find(|line| line.split(':').next() == Some(name)) else { return false };
    let members = line.split(':').nth(3).unwrap_or_default();
    let uid = uid.to_string();
    let mut names = users.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let user = fields.next()?;
        (fields.nth(1) == Some(&uid)).then_some(user)
    });
    names.any(|user| !user.is_empty() && members.split(',').any(|member| member.trim() == user))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: &str = "root:x:0:\naicp-admin:x:991:anna,bert\nempty:x:992:\nbroken:x:many:anna\n";
    const USERS: &str = "root:x:0:0::/root:/bin/sh\nanna:x:1000:1000::/:/bin/sh\ncarl:x:1002:1002::/:/bin/sh\n";

    #[test]
    fn a_member_is_who_stands_in_the_groups_line_under_the_name_of_that_uid() {
        assert_eq!(group_id(GROUPS, "aicp-admin"), Some(991));
        assert_eq!(group_id(GROUPS, "aicp"), None);
        assert_eq!(group_id(GROUPS, "broken"), None);
        assert!(is_member(GROUPS, USERS, "aicp-admin", 1000));
        for (group, uid) in [("aicp-admin", 1002), ("aicp-admin", 1001), ("empty", 1000), ("nobody", 1000)] {
            assert!(!is_member(GROUPS, USERS, group, uid), "{group} {uid}");
        }
    }

    #[test]
    fn without_a_group_root_and_the_owner_are_all() {
        let admins = Admins { owner: 500, group: None };
        assert!(admins.hold(0, 7) && admins.hold(500, 7));
        assert!(!admins.hold(501, 0), "root's group is nobody's right");
        let grouped = Admins { owner: 500, group: Some(Group { name: "no such group".into(), id: 991 }) };
        assert!(grouped.hold(501, 991) && !grouped.hold(501, 992));
    }
}
