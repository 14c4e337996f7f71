//! Who plays in the demo: site XYZ with two DPs and, when asked for, the child site DEF with a third.

use std::path::{Path, PathBuf};
use std::time::Duration;

use restock_names::{DistributionPointName, SiteCode};
use restock_provider::{Answer, Operation};
use serde::Deserialize;

use super::processes::{self, Process};
use super::stop::Stop;
use crate::control::{AdminServiceAt, Ask, Client, Hello, TokenFor, TokenGiven, unexpected};
use crate::failure::{Failure, Kind};
use crate::output::shown_path;

/// The demo's site, and the one below it.
pub(super) const SITE: &str = "XYZ";
pub(super) const CHILD: &str = "DEF";

/// What the demo makes in its data folder.
pub(super) const PARTS: [&str; 6] = ["site", "dp1", "dp2", "site2", "dp3", "source"];

/// A free port of this machine alone.
const FREE: &str = "127.0.0.1:0";

/// How long a token of the demo is good, in milliseconds.
const TOKEN_MS: u64 = 3_600_000;

/// How long the sites may take to tell each other what they have.
const TOLD_MAX: Duration = Duration::from_secs(60);

/// Sites and DPs, in the order in which they are stopped.
#[derive(Debug)]
pub(super) struct Cast {
    pub(super) points: Vec<Point>,
    pub(super) child: Option<Member>,
    pub(super) site: Member,
}

/// A running site.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) code: SiteCode,
    pub(super) process: Process,
    pub(super) client: Client,
    pub(super) url: String,
    pub(super) data: PathBuf,
    pub(super) admin_service: Option<AdminServiceAt>,
}

/// A running DP.
#[derive(Debug)]
pub(super) struct Point {
    pub(super) name: DistributionPointName,
    pub(super) site: SiteCode,
    pub(super) url: String,
    pub(super) process: Process,
}

#[derive(Deserialize)]
struct Ignored {}

impl Cast {
    /// Makes and starts the sites, then enrols and starts the DPs.
    pub(super) fn start(data: &Path, with_child: bool, stop: &Stop) -> Result<Self, Failure> {
        let mut site = Member::start(&data.join("site"), SITE, None)?;
        stop.check()?;
        let mut child = match with_child {
            true => Some(Member::start(&data.join("site2"), CHILD, Some(&mut site))?),
            false => None,
        };
        let mut points = Vec::new();
        for (name, part) in [("DP01", "dp1"), ("DP02", "dp2")] {
            stop.check()?;
            points.push(Point::start(name, &data.join(part), &mut site)?);
        }
        if let Some(child) = &mut child {
            stop.check()?;
            points.push(Point::start("DP03", &data.join("dp3"), child)?);
        }
        let mut cast = Self { points, child, site };
        let count = cast.points.len();
        cast.until("the child site and its distribution point are known", stop, |cast| {
            match cast.site.client.ask(Ask::Perform(Operation::ListPoints))? {
                Answer::Points(rows) => Ok(rows.len() == count),
                other => Err(unexpected(&other)),
            }
        })?;
        Ok(cast)
    }

    /// Fails when one of the processes has ended.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        self.site.process.check()?;
        self.child.iter_mut().try_for_each(|child| child.process.check())?;
        self.points.iter_mut().try_for_each(|p| p.process.check())
    }

    /// Bytes of content that the child site has received from the site above; none without one.
    pub(super) fn crossed(&mut self) -> Result<Option<u64>, Failure> {
        let above = self.site.code;
        let Some(child) = &mut self.child else { return Ok(None) };
        let progress: restock_site::Progress = child.client.ask(Ask::Progress)?;
        let traffic = progress.traffic.iter().filter(|t| t.site == above);
        Ok(Some(traffic.map(|t| t.content_received).sum()))
    }

    /// The names of the DPs.
    pub(super) fn names(&self) -> Vec<DistributionPointName> {
        self.points.iter().map(|p| p.name.clone()).collect()
    }

    /// `site XYZ (process 7), site DEF (process 8), DP01 (process 9)`.
    pub(super) fn text(&self) -> String {
        let sites = std::iter::once(&self.site).chain(&self.child);
        let sites = sites.map(|s| format!("site {} (process {})", s.code, s.process.id()));
        let points = self.points.iter().map(|p| format!("{} (process {})", p.name, p.process.id()));
        sites.chain(points).collect::<Vec<_>>().join(", ")
    }

    /// Asks until `is_so`.
    ///
    /// Errors: a process ended, a stop was asked, what `is_so` fails with; it is not so in time.
    pub(super) fn until(
        &mut self,
        what: &str,
        stop: &Stop,
        mut is_so: impl FnMut(&mut Self) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        use restock_names::{Clock, SystemClock};
        let begun = SystemClock.monotonic();
        let mut found = None;
        stop.wait(|| {
            let looked = self.check().and_then(|()| is_so(self));
            let is_over = SystemClock.monotonic() - begun > TOLD_MAX;
            found = match looked {
                Ok(true) => Some(Ok(())),
                Ok(false) if is_over => Some(Err(Failure::new(
                    Kind::TimedOut,
                    format!("it is not so after {} s that {what}", TOLD_MAX.as_secs()),
                ))),
                Ok(false) => None,
                Err(failure) => Some(Err(failure)),
            };
            found.is_none()
        });
        stop.check()?;
        found.unwrap_or(Ok(()))
    }
}

impl Member {
    /// Makes a site, below `above` if there is one, and starts it.
    fn start(data: &Path, code: &str, above: Option<&mut Self>) -> Result<Self, Failure> {
        let mut arguments = vec!["site", "init", "--code", code, "--listen", FREE, "--admin-http", FREE];
        let token = match above {
            None => None,
            Some(above) => Some((above.url.clone(), above.token(TokenFor::Site, code)?)),
        };
        if let Some((url, _)) = &token {
            arguments.extend(["--parent", url]);
        }
        let Ignored {} = processes::run(data, &arguments, token.as_ref().map(|(_, token)| token.as_str()))?;
        let (process, hello) = Process::start(data, &format!("site {code}"), &["site", "run"])?;
        let socket = data.join("control.sock");
        let mut client = Client::connect(&socket)?
            .ok_or_else(|| Failure::failed(format!("nothing answers at {}", shown_path(&socket))))?;
        client.set_patience(Some(Duration::from_secs(120)))?;
        let Hello { site_code: code, url, admin_service, .. } = hello;
        Ok(Self { code, process, client, url, data: data.to_owned(), admin_service })
    }

    fn token(&mut self, kind: TokenFor, name: &str) -> Result<String, Failure> {
        let ask = Ask::CreateToken { kind, name: name.to_owned(), valid_ms: TOKEN_MS };
        let given: TokenGiven = self.client.ask(ask)?;
        Ok(given.token)
    }

    /// A second connection to the site.
    pub(super) fn connect(&self) -> Result<Client, Failure> {
        let client = Client::connect(&self.data.join("control.sock"))?;
        let mut client = client.ok_or_else(|| Failure::failed(format!("site {} is gone", self.code)))?;
        client.set_patience(Some(Duration::from_secs(120)))?;
        Ok(client)
    }
}

impl Point {
    /// Enrols a DP at a site and starts it.
    fn start(name: &str, data: &Path, site: &mut Member) -> Result<Self, Failure> {
        let token = site.token(TokenFor::Dp, name)?;
        let arguments = ["dp", "init", "--site", &site.url, "--serve", FREE];
        let Ignored {} = processes::run(data, &arguments, Some(&token))?;
        let (process, hello) = Process::start(data, "distribution point", &["dp", "run"])?;
        let name = name.parse().expect("a valid name");
        Ok(Self { name, site: site.code, url: hello.url, process })
    }
}
