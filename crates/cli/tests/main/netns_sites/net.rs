//! Two network namespaces with one wire between them, and what can be done to the wire.
//!
//! Needs root, `ip`, `tc` and `nft`; without them a test fails, it is not skipped.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

/// Address of the end above, and of the one below.
pub(super) const ABOVE: &str = "10.77.0.1";
pub(super) const BELOW: &str = "10.77.0.2";

/// The wire's end in each namespace.
const DEVICE: &str = "wire";

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Two namespaces; they go when this is dropped, and whoever still runs in them loses the wire.
#[derive(Debug)]
pub(super) struct Net {
    pub(super) above: String,
    pub(super) below: String,
}

/// The commands of network tools lie where only root's path leads.
fn tool(program: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).stdin(Stdio::null());
    command
}

#[track_caller]
fn run(program: &str, arguments: &[&str]) -> String {
    let output = tool(program).args(arguments).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

impl Net {
    pub(super) fn new() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = |end: &str| format!("restock-{}-{number}-{end}", std::process::id());
        let net = Self { above: name("above"), below: name("below") };
        for namespace in [&net.above, &net.below] {
            run("ip", &["netns", "add", namespace]);
            run("ip", &["-n", namespace, "link", "set", "lo", "up"]);
        }
        let peer = ["type", "veth", "peer", "name", DEVICE, "netns", &net.below];
        run("ip", &[&["-n", &net.above, "link", "add", DEVICE][..], &peer].concat());
        for (namespace, address) in [(&net.above, ABOVE), (&net.below, BELOW)] {
            run("ip", &["-n", namespace, "address", "add", &format!("{address}/24"), "dev", DEVICE]);
            run("ip", &["-n", namespace, "link", "set", DEVICE, "up"]);
        }
        net
    }

    /// A command inside a namespace.
    pub(super) fn command(namespace: &str, program: &str) -> Command {
        let mut command = tool("ip");
        command.args(["netns", "exec", namespace, program]);
        command
    }

    /// What goes down the wire is held to so many megabits a second.
    pub(super) fn set_rate(&self, megabits: u64) {
        let rate = format!("{megabits}mbit");
        let shape = ["tbf", "rate", &rate, "burst", "256k", "latency", "100ms"];
        run("tc", &[&["-n", &self.above, "qdisc", "replace", "dev", DEVICE, "root"][..], &shape].concat());
    }

    /// Bytes that came down the wire so far, with all heads.
    pub(super) fn came_down(&self) -> u64 {
        let shown = run("ip", &["-n", &self.below, "-s", "-j", "link", "show", "dev", DEVICE]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        shown[0]["stats64"]["rx"]["bytes"].as_u64().unwrap()
    }

    /// Pulls the wire out, or puts it in again.
    pub(super) fn set_up(&self, is_up: bool) {
        run("ip", &["-n", &self.above, "link", "set", DEVICE, if is_up { "up" } else { "down" }]);
    }

    /// From now on what comes to the link at the end above is answered by a reset: every connection
    /// that says anything is lost.
    pub(super) fn reset_connections(&self) {
        self.filter(&self.above, "tcp dport 8720 counter reject with tcp reset");
    }

    /// From now on so many of a hundred packets are lost, each way.
    pub(super) fn lose(&self, percent: u32) {
        for namespace in [&self.above, &self.below] {
            // Packets as on a real wire: not dozens of them joined into one.
            run("ip", &["-n", namespace, "link", "set", DEVICE, "gso_max_segs", "1"]);
            let rule = format!("iifname {DEVICE} numgen random mod 100 < {percent} counter drop");
            self.filter(namespace, &rule);
        }
    }

    fn filter(&self, namespace: &str, rule: &str) {
        let chain = format!("type filter hook input priority 0;\n{rule}\n");
        let script = format!("table inet fault {{\nchain input {{\n{chain}}}\n}}\n");
        run("ip", &["netns", "exec", namespace, "nft", &script]);
    }

    /// Ends [`Self::reset_connections`] and [`Self::lose`]; how many packets they have met.
    pub(super) fn end_faults(&self) -> u64 {
        let mut met = 0;
        for namespace in [&self.above, &self.below] {
            let rules = run("ip", &["netns", "exec", namespace, "nft", "-j", "list", "ruleset"]);
            let rules: Value = serde_json::from_str(&rules).unwrap();
            let all = rules["nftables"].as_array().unwrap();
            let expressions = all.iter().filter_map(|item| item["rule"]["expr"].as_array()).flatten();
            met += expressions.filter_map(|e| e["counter"]["packets"].as_u64()).sum::<u64>();
            run("ip", &["netns", "exec", namespace, "nft", "flush", "ruleset"]);
        }
        met
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for namespace in [&self.above, &self.below] {
            let _gone = tool("ip").args(["netns", "delete", namespace]).status();
        }
    }
}
