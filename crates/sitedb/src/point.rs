//! Distribution points: those enrolled here, and those of other sites as their sites tell.

use restock_names::{DistributionPointName, NalPath, SiteCode, Timestamp};

use crate::admin::TYPE_POINT;
use crate::replica::Kind;
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx};

/// A distribution point's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Its name.
    pub name: DistributionPointName,
    /// The site it is enrolled at; none before `site init` has ended.
    pub site: Option<SiteCode>,
    /// Given when it was first known here, from 1 on, and never used again.
    pub number: u32,
    /// The NAL path by which scripts name it.
    pub nal_path: String,
    /// Free text.
    pub description: String,
    /// Whether people took it out of service for a while.
    pub is_in_maintenance: bool,
    /// SHA-256 of its public key, in hex; empty for one of another site.
    pub fingerprint: String,
    /// When its certificate ends.
    pub certificate_expires: Timestamp,
    /// When it joined the site.
    pub enrolled_at: Timestamp,
    /// The id of its library, as it said at its last connection.
    pub library_id: Option<String>,
    /// Where it serves content.
    pub serve_urls: Vec<String>,
    /// What program it runs.
    pub software: Option<String>,
    /// The site process it is connected to; of one of another site, the code of that site.
    pub connected_to: Option<String>,
    /// When it connected or disconnected last.
    pub last_seen_at: Option<Timestamp>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT name, site_code, number, nal_path, description, is_in_maintenance, fingerprint, certificate_expires,
                enrolled_at, library_id, serve_urls, software, connected_to, last_seen_at
             FROM distribution_points ",
            $rest
        )
    };
}

fn point(row: &Row) -> Result<Point, DatabaseError> {
    Ok(Point {
        name: row.parse("name")?,
        site: row.text("site_code")?.parse().ok(),
        number: row.u32("number")?,
        nal_path: row.text("nal_path")?,
        description: row.text("description")?,
        is_in_maintenance: row.bool("is_in_maintenance")?,
        fingerprint: row.text("fingerprint")?,
        certificate_expires: row.time("certificate_expires")?,
        enrolled_at: row.time("enrolled_at")?,
        library_id: row.text_or_none("library_id")?,
        serve_urls: row.texts("serve_urls")?,
        software: row.text_or_none("software")?,
        connected_to: row.text_or_none("connected_to")?,
        last_seen_at: row.time_or_none("last_seen_at")?,
    })
}

impl Tx {
    /// The distribution point, if it is enrolled.
    pub async fn point(&mut self, name: &DistributionPointName) -> Result<Option<Point>, DatabaseError> {
        let row = self.row(select!("WHERE name = $1"), bind![name]).await?;
        row.as_ref().map(point).transpose()
    }

    /// All enrolled distribution points by name.
    pub async fn points(&mut self) -> Result<Vec<Point>, DatabaseError> {
        self.rows(select!("ORDER BY name"), bind![]).await?.iter().map(point).collect()
    }

    /// The distribution point that this NAL path names, in any letter case.
    pub async fn point_by_nal_path(&mut self, nal_path: &str) -> Result<Option<Point>, DatabaseError> {
        let row = self.row(select!("WHERE nal_path COLLATE nocase = $1"), bind![nal_path]).await?;
        row.as_ref().map(point).transpose()
    }

    /// The site of a distribution point; `None` when it is not known.
    pub async fn site_of_point(
        &mut self,
        name: &DistributionPointName,
    ) -> Result<Option<SiteCode>, DatabaseError> {
        let row = self
            .row(
                "SELECT COALESCE(NULLIF(d.site_code, ''), s.site_code) AS site_code
                 FROM distribution_points d CROSS JOIN site s WHERE d.name = $1",
                bind![name],
            )
            .await?;
        row.map(|row| row.parse("site_code")).transpose()
    }

    /// Enrols a distribution point of the site, or gives one that was enrolled before its new key.
    ///
    /// Errors: also when another site of the hierarchy has one of that name.
    pub async fn enrol_point(
        &mut self,
        name: &DistributionPointName,
        fingerprint: &str,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        if let Some(site) = self.other_site_of(name).await? {
            return Err(DatabaseError::Value {
                operation: self.operation,
                column: "distribution_points.name",
                found: format!("{name} of site {site}"),
            });
        }
        let again = self
            .execute(
                "UPDATE distribution_points SET fingerprint = $2, certificate_expires = $3, enrolled_at = $4,
                     connected_to = NULL
                 WHERE name = $1",
                bind![name, fingerprint, expires, now],
            )
            .await?;
        if again == 0 {
            let number = self.next_number("point").await?;
            let site = self.site().await?.map(|site| site.code);
            self.execute(
                "INSERT INTO distribution_points (name, number, site_code, nal_path, fingerprint,
                     certificate_expires, enrolled_at, serve_urls)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, '[]')",
                bind![
                    name,
                    number,
                    site.map(|site| site.to_string()).unwrap_or_default(),
                    site.map(|site| NalPath::new(site, name).to_string()).unwrap_or_default(),
                    fingerprint,
                    expires,
                    now
                ],
            )
            .await?;
        }
        self.scope_by_default(TYPE_POINT, name.as_str()).await?;
        self.touch_point(name);
        self.touch(Kind::Point, format!("{name}/settings"));
        Ok(())
    }

    fn touch_point(&mut self, name: &DistributionPointName) {
        self.touch(Kind::Point, name.as_str());
    }

    /// Keeps what people set on a distribution point; false when there is no such one.
    pub async fn update_point(
        &mut self,
        name: &DistributionPointName,
        description: &str,
        is_in_maintenance: bool,
    ) -> Result<bool, DatabaseError> {
        let changed = self
            .execute(
                "UPDATE distribution_points SET description = $2, is_in_maintenance = $3 WHERE name = $1",
                bind![name, description, is_in_maintenance],
            )
            .await?;
        self.touch(Kind::Point, format!("{name}/settings"));
        Ok(changed == 1)
    }

    /// Notes that a distribution point connected to the site process `owner`.
    pub async fn point_connected(
        &mut self,
        name: &DistributionPointName,
        owner: &str,
        (library_id, serve_urls, software): (&str, &[String], &str),
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let serve_urls = serde_json::to_string(serve_urls).expect("a list of texts is plain data");
        self.execute(
            "UPDATE distribution_points SET connected_to = $2, library_id = $3, serve_urls = $4, software = $5,
                 last_seen_at = $6
             WHERE name = $1",
            bind![name, owner, library_id, serve_urls, software, now],
        )
        .await?;
        self.touch_point(name);
        Ok(())
    }

    /// Notes that a distribution point's connection to `owner` ended.
    pub async fn point_disconnected(
        &mut self,
        name: &DistributionPointName,
        owner: &str,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.execute(
            "UPDATE distribution_points SET connected_to = NULL, last_seen_at = $3
             WHERE name = $1 AND connected_to = $2",
            bind![name, owner, now],
        )
        .await?;
        self.touch_point(name);
        Ok(())
    }

    /// Notes that nothing is connected to `owner`, whose process has just started.
    pub async fn points_disconnected(&mut self, owner: &str) -> Result<(), DatabaseError> {
        let connected = self
            .rows(
                "UPDATE distribution_points SET connected_to = NULL WHERE connected_to = $1 RETURNING name",
                bind![owner],
            )
            .await?;
        for row in connected {
            let name: DistributionPointName = row.parse("name")?;
            self.touch_point(&name);
        }
        Ok(())
    }
}
