//! Two namespaces and the wire between them. Loss and cuts are rules of nftables at the receiving ends, so that a
//! sender never hears that its packet was lost. All of it goes when it is dropped.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where `ip` and `nft` lie.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// One end of a wire: a namespace with an address of its own.
#[derive(Clone, Debug)]
pub struct End {
    /// What the namespace is called.
    pub namespace: String,
    /// Its address on the wire.
    pub address: IpAddr,
}

impl End {
    /// A program that will run in this namespace, with an environment that holds nothing but a path.
    #[must_use]
    pub fn command(&self, program: &std::path::Path) -> Command {
        let mut command = tool("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    /// What arrives here is judged by these rules alone.
    fn rule(&self, rule: &str) {
        let text = format!(
            "table inet aicp {{ chain in {{ type filter hook input priority 0; }}; }}\n\
             flush chain inet aicp in\n{rule}\n"
        );
        let mut nft = self.command("nft".as_ref());
        let mut nft = nft.args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft runs");
        nft.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("nft reads");
        assert!(nft.wait().expect("nft ends").success(), "nft refused: {text}");
    }
}

/// Two ends that reach each other, and nobody else.
#[derive(Debug)]
pub struct Wire {
    ends: [End; 2],
}

impl Wire {
    /// Lays a wire. `None` where the right or a tool is missing, and `AICP_NEED_ROOT` is not 1.
    ///
    /// # Panics
    /// If it is 1.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "whether a test may be skipped is for whoever runs it to say")]
    pub fn lay() -> Option<Self> {
        // Each test of a process has a wire of its own.
        static LAID: AtomicU32 = AtomicU32::new(0);
        let number = LAID.fetch_add(1, Ordering::Relaxed);
        let end = |side: u8| End {
            namespace: format!("aicp-{}-{number}-{side}", std::process::id()),
            address: IpAddr::V4(Ipv4Addr::new(10, 77, 0, side)),
        };
        // Made first, so that what a failure leaves goes with it.
        let wire = Self { ends: [end(1), end(2)] };
        match wire.make() {
            Ok(()) => Some(wire),
            Err(why) => {
                let is_needed = std::env::var("AICP_NEED_ROOT").is_ok_and(|value| value == "1");
                assert!(!is_needed, "no network for this test: {why}");
                #[expect(clippy::print_stdout, reason = "whoever runs the tests wants to know")]
                let () = println!("skipped: needs root ({why})");
                None
            }
        }
    }

    fn make(&self) -> Result<(), String> {
        let [one, other] = &self.ends;
        run(tool("nft").arg("--version"))?;
        for end in &self.ends {
            run(tool("ip").args(["netns", "add", &end.namespace]))?;
        }
        let pair = ["link", "add", "wire", "netns", &one.namespace, "type", "veth", "peer", "name", "wire", "netns"];
        run(tool("ip").args(pair).arg(&other.namespace))?;
        for end in &self.ends {
            let inside = |words: &[&str]| run(tool("ip").args(["-n", &end.namespace]).args(words));
            inside(&["address", "add", &format!("{}/24", end.address), "dev", "wire"])?;
            inside(&["link", "set", "lo", "up"])?;
            inside(&["link", "set", "wire", "up"])?;
        }
        Ok(())
    }

    /// Its ends.
    #[must_use]
    pub const fn ends(&self) -> &[End; 2] {
        &self.ends
    }

    /// From now on so many packets of a hundred are lost, in each direction and at random.
    ///
    /// # Panics
    /// If the rules are refused.
    pub fn lose(&self, percent: u32) {
        self.rules(&format!("add rule inet aicp in iifname wire numgen random mod 100 < {percent} drop"));
    }

    /// From now on nothing gets through.
    ///
    /// # Panics
    /// If the rules are refused.
    pub fn cut(&self) {
        self.rules("add rule inet aicp in iifname wire drop");
    }

    /// From now on everything gets through.
    ///
    /// # Panics
    /// If the rules are refused.
    pub fn heal(&self) {
        self.rules("");
    }

    fn rules(&self, rule: &str) {
        self.ends.iter().for_each(|end| end.rule(rule));
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for end in &self.ends {
            // With its namespace goes its end of the wire, and with that the other one.
            let _gone = run(tool("ip").args(["netns", "delete", &end.namespace]));
        }
    }
}

fn tool(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env_clear().env("PATH", PATH);
    command
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {}", said())) }
}
