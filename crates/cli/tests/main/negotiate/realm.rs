//! A realm of Kerberos of a test's own: a database, keytabs and a KDC on a free port.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// The name of every realm.
pub(crate) const REALM: &str = "RESTOCK.TEST";
/// Free ports that are tried: another process may take one before the KDC does.
const PORTS_MAX: usize = 10;

/// A realm with a KDC, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Realm {
    folder: TempDir,
    kdc: Child,
}

impl Realm {
    /// People have the password `secret of NAME`. The keytab is that of `services`.
    pub(crate) fn new(people: &[&str], services: &[&str]) -> Self {
        let folder = TempDir::with_prefix("restock-realm-").unwrap();
        let path = folder.path();
        write_config(path, 88);
        run(tool(path, "kdb5_util").args(["create", "-s", "-r", REALM, "-P", "master"]));
        let kadmin = |query: &str| run(tool(path, "kadmin.local").args(["-r", REALM, "-q", query]));
        for name in people {
            kadmin(&format!("addprinc -pw \"secret of {name}\" {name}"));
        }
        for service in services {
            kadmin(&format!("addprinc -randkey {service}"));
            kadmin(&format!("ktadd -k {} {service}", path.join("service.keytab").display()));
        }
        let kdc = (0..PORTS_MAX).find_map(|_| start_kdc(path)).expect("a KDC on one of the free ports");
        Self { folder, kdc }
    }

    pub(crate) fn keytab(&self) -> PathBuf {
        self.folder.path().join("service.keytab")
    }

    /// What tells a program of this realm.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        let path = self.folder.path();
        [("KRB5_CONFIG", path.join("krb5.conf")), ("KRB5CCNAME", path.join("tickets"))]
    }

    /// Gets a ticket for somebody, which the environment tells of.
    pub(crate) fn sign_in(&self, name: &str) {
        let mut command = Command::new("kinit");
        command.arg(name).envs(self.environment()).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "secret of {name}").unwrap();
        assert!(child.wait().unwrap().success(), "kinit {name}");
    }
}

impl Drop for Realm {
    fn drop(&mut self) {
        let _ended = self.kdc.kill().and_then(|()| self.kdc.wait());
    }
}

/// A program of the KDC's side.
fn tool(folder: &Path, name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(name);
    command
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env("KRB5_CONFIG", folder.join("krb5.conf"))
        .env("KRB5_KDC_PROFILE", folder.join("kdc.conf"))
        .stdin(Stdio::null());
    command
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Starts a KDC on a free port; `None` when it could not have it.
fn start_kdc(folder: &Path) -> Option<Child> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    write_config(folder, port);
    let mut command = tool(folder, "krb5kdc");
    let mut kdc = command.arg("-n").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(kdc.stderr.take().unwrap());
    // It says so when it has its port, and ends when it cannot have it.
    let mut line = String::new();
    while !line.contains("commencing operation") {
        line.clear();
        if log.read_line(&mut line).unwrap() == 0 {
            kdc.wait().unwrap();
            return None;
        }
    }
    // It writes a line for each ticket, which somebody must read.
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    Some(kdc)
}

fn write_config(folder: &Path, port: u16) {
    let at = folder.display();
    let krb5 = format!(
        "[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n \
         dns_canonicalize_hostname = false\n rdns = false\n udp_preference_limit = 1\n\
         [realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{port}\n }}\n\
         [domain_realm]\n localhost = {REALM}\n"
    );
    let kdc = format!(
        "[kdcdefaults]\n kdc_listen = \"\"\n kdc_tcp_listen = 127.0.0.1:{port}\n\
         [realms]\n {REALM} = {{\n  database_name = {at}/principal\n  key_stash_file = {at}/stash\n  \
         acl_file = {at}/acl\n  max_life = 1h\n  \
         supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal\n }}\n\
         [logging]\n kdc = STDERR\n"
    );
    std::fs::write(folder.join("krb5.conf"), krb5).unwrap();
    std::fs::write(folder.join("kdc.conf"), kdc).unwrap();
}
