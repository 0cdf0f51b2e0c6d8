//! Who sits at the keyboard, as a name for an agent. Asks the kernel and the list of users, never the environment.

use std::fs;

use proto::limits;

/// `cli-USER`, or `cli-` and the number of a user who has no name here.
pub(crate) fn agent_name() -> String {
    let uid = rustix::process::getuid().as_raw();
    let users = fs::read("/etc/passwd").unwrap_or_default();
    let user = user_of(&String::from_utf8_lossy(&users), uid);
    sanitise(&format!("cli-{}", user.unwrap_or_else(|| uid.to_string())))
}

fn user_of(users: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(&uid) && !name.is_empty()).then(|| name.to_owned())
    })
}

/// What a name may not hold becomes `-`.
fn sanitise(text: &str) -> String {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    let lower = text.chars().map(|c| c.to_ascii_lowercase());
    lower.map(|c| if fits(c) { c } else { '-' }).take(limits::NAME_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_user_has_a_name_that_an_agent_may_have() {
        let users = "root:x:0:0:root:/root:/bin/sh\nDomänen\\Anna:x:1000:1000::/:/bin/sh\n";
        assert_eq!(user_of(users, 0).as_deref(), Some("root"));
        assert_eq!(user_of(users, 1000).map(|user| sanitise(&user)).as_deref(), Some("dom-nen-anna"));
        assert_eq!(user_of(users, 7), None);
        assert!(proto::Name::is_name(&agent_name()));
        assert!(proto::Name::is_name(&sanitise(&format!("cli-{}", "ü".repeat(100)))));
    }
}
