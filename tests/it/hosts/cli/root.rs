//! What root begins where no service is installed.

use std::process::Command;

use referee::hosts::{binary, free_port};
use serde_json::Value;

use super::text;

/// On a host of its own, as far as files and processes go: all of them are gone with the shell.
const HOST: &str = r#"
    set -e
    for folder in /var/lib /run; do mount -t tmpfs none $folder; done
    [ ! -d /etc/aicp ] || mount -t tmpfs none /etc/aicp
    "$1" up --name first --listen "127.0.0.1:$2"
    "$1" ask echo hello
    # The second time there is one.
    "$1" up
    stat -c '%u %a' /var/lib/aicp
    "$1" status --json
"#;

#[test]
fn root_without_a_service_has_its_state_where_the_service_would_have_it_and_is_told_so() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("AICP_NEED_ROOT").is_none(), "this needs root");
        println!("skipped: needs root");
        return;
    }
    let mut host = Command::new("unshare");
    host.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", HOST, "sh"]);
    host.arg(binary("aicpctl")).arg(free_port().to_string()).env_clear();
    let output = host.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root").output().expect("unshare runs");
    let (said, talk) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}{talk}");
    let state = "(state and log in /var/lib/aicp)";
    assert_eq!(talk.matches(state).count(), 1, "only who starts a daemon says where: {talk}");
    assert!(talk.contains("a service, once it is installed, goes on with this state"), "{talk}");
    assert!(said.lines().any(|line| line == "hello") && said.lines().any(|line| line == "0 700"), "{said}");
    let status: Value = serde_json::from_str(said.lines().last().expect("a status")).expect("JSON");
    assert_eq!((&status["node_name"], &status["state_dir"]), (&"first".into(), &"/var/lib/aicp".into()));
}
