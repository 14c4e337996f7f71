//! Databases for tests: a SQLite file in a fresh folder, or a PostgreSQL cluster of its own.
//!
//! Tests of other crates take this file too.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use restock_sitedb::Database;
use tempfile::TempDir;

/// A database that goes away with this value.
pub(crate) struct Fresh {
    pub(crate) database: Database,
    pub(crate) url: String,
    _folder: Option<TempDir>,
}

pub(crate) async fn sqlite() -> Fresh {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("site.db");
    let database = Database::open_file(&path).await.unwrap();
    Fresh { database, url: format!("sqlite://{}", path.display()), _folder: Some(folder) }
}

/// A PostgreSQL server on a socket in a fresh folder; it listens on no port.
pub(crate) struct Cluster {
    folder: TempDir,
    programs: PathBuf,
}

impl Cluster {
    /// Starts a server; `None` where PostgreSQL is not installed, which under CI is a failure.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(
                std::env::var_os("CI").is_none(),
                "initdb was not found beneath /usr/lib/postgresql: install Debian's postgresql"
            );
            eprintln!("no PostgreSQL here: only SQLite was tested");
            return None;
        };
        let folder = TempDir::new().unwrap();
        let cluster = Self { folder, programs };
        if rustix::process::geteuid().is_root() {
            let (user, group) = (id("-u"), id("-g"));
            std::os::unix::fs::chown(cluster.folder.path(), Some(user), Some(group)).unwrap();
        }
        let data = cluster.data();
        cluster.run(
            "initdb",
            &["-D", &data, "-U", "restock", "-A", "trust", "-N", "-E", "UTF8", "--locale=C.UTF-8"],
        );
        let socket = cluster.folder.path().display().to_string();
        let options =
            format!("-c listen_addresses='' -c unix_socket_directories='{socket}' -c max_connections=100");
        let log = format!("{socket}/log");
        cluster.run("pg_ctl", &["-D", &data, "-w", "-l", &log, "-o", &options, "start"]);
        Some(cluster)
    }

    /// A fresh database on this server.
    pub(crate) async fn database(&self, name: &str) -> Fresh {
        let socket = self.folder.path().display().to_string();
        self.run("createdb", &["-h", &socket, "-U", "restock", name]);
        let url = format!("postgres://restock@localhost/{name}?host={socket}");
        let database = Database::open(&url).await.unwrap();
        Fresh { database, url, _folder: None }
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let path = self.programs.join(program);
        let mut command = if rustix::process::geteuid().is_root() {
            // The server refuses to run as root.
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(&path);
            command
        } else {
            Command::new(&path)
        };
        // The server inherits what it is given: a pipe would never end.
        let status = command.args(arguments).current_dir("/").stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "{program} {arguments:?} ended with {status}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-D", &self.data(), "-m", "immediate", "-w", "stop"]);
    }
}

fn programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| Path::new(bin).join("initdb").exists())
        .collect();
    found.sort();
    found.pop()
}

fn id(which: &str) -> u32 {
    let output = Command::new("id").args([which, "postgres"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().expect("the user postgres comes with the server")
}
