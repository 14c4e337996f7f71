//! Status messages in the database: kept, read, removed.

use restock_names::{PackageId, Timestamp};

use super::{ATTRIBUTE_PACKAGE, ATTRIBUTE_POINT, Kept, Message, Severity};
use crate::replica::Kind;
use crate::replica::kinds::message::key;
use crate::tx::bind;
use crate::{DatabaseError, Tx};

/// No message keeps more of a string than this many bytes.
const STRING_BYTES_MAX: usize = 4096;

fn shortened(text: &str) -> &str {
    if text.len() <= STRING_BYTES_MAX {
        return text;
    }
    &text[..text.floor_char_boundary(STRING_BYTES_MAX)]
}

impl Tx {
    /// Keeps a message, and writes it to the log of its component.
    pub async fn raise(&mut self, message: &Message, now: Timestamp) -> Result<i64, DatabaseError> {
        let point = message.attributes.iter().find(|(attribute, _)| *attribute == ATTRIBUTE_POINT);
        let row = self
            .row(
                "INSERT INTO status_messages (message_id, severity, message_type, component, time, package_id, point,
                     site)
                 VALUES ($1, $2, 256, $3, $4, $5,
                     (SELECT name FROM distribution_points WHERE nal_path COLLATE nocase = $6),
                     COALESCE((SELECT s.site_code FROM site s), ''))
                 RETURNING record, site",
                bind![
                    message.id,
                    message.severity.number(),
                    message.component,
                    now,
                    message.package,
                    point.map(|(_, nal)| nal.clone())
                ],
            )
            .await?;
        let Some(row) = row else { return Ok(0) };
        let record = row.i64("record")?;
        self.put_message_parts(record, &message.strings, &message.attributes).await?;
        let package = [(ATTRIBUTE_PACKAGE, message.package.to_string())];
        self.put_message_parts(record, &[], &package).await?;
        if let Ok(site) = row.text("site")?.parse() {
            self.touch(Kind::Message, key(site, now, record));
        }
        Ok(record)
    }

    /// Keeps the strings and attributes of a message.
    pub(crate) async fn put_message_parts(
        &mut self,
        record: i64,
        strings: &[String],
        attributes: &[(u32, String)],
    ) -> Result<(), DatabaseError> {
        for (position, value) in (1_u32..).zip(strings) {
            self.execute(
                "INSERT INTO status_message_strings (record, position, value) VALUES ($1, $2, $3)",
                bind![record, position, shortened(value)],
            )
            .await?;
        }
        for (attribute, value) in attributes {
            self.execute(
                "INSERT INTO status_message_attributes (record, attribute, value) VALUES ($1, $2, $3)
                 ON CONFLICT DO NOTHING",
                bind![record, *attribute, shortened(value)],
            )
            .await?;
        }
        Ok(())
    }

    /// What the components of this site and those below said after record `after`, oldest first; without `after` the newest
    /// ones. At most `limit`. Audit messages (type 768) are read as SMS_StatusMessage.
    pub async fn messages(
        &mut self,
        package: Option<PackageId>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Kept>, DatabaseError> {
        let mut rows = match after {
            Some(after) => {
                self.rows(
                    "SELECT record, message_id, severity, component, time, package_id, site FROM status_messages
                     WHERE record > $1 AND message_type = 256 AND ($2 IS NULL OR package_id = $2) ORDER BY record LIMIT $3",
                    bind![after, package, limit],
                )
                .await?
            }
            None => {
                self.rows(
                    "SELECT record, message_id, severity, component, time, package_id, site FROM status_messages
                     WHERE message_type = 256 AND ($1 IS NULL OR package_id = $1) ORDER BY record DESC LIMIT $2",
                    bind![package, limit],
                )
                .await?
            }
        };
        if after.is_none() {
            rows.reverse();
        }
        let mut kept = Vec::with_capacity(rows.len());
        for row in rows {
            let record = row.i64("record")?;
            kept.push(Kept {
                record,
                id: row.u32("message_id")?,
                severity: Severity::of_number(row.u32("severity")?),
                component: row.text("component")?,
                time: row.time("time")?,
                package: row.text_or_none("package_id")?.map(|_| row.parse("package_id")).transpose()?,
                strings: self.message_strings(record).await?,
                attributes: self.message_attributes(record).await?,
                site: row.text("site")?.parse().ok(),
            });
        }
        Ok(kept)
    }

    pub(crate) async fn message_strings(&mut self, record: i64) -> Result<Vec<String>, DatabaseError> {
        self.rows(
            "SELECT value FROM status_message_strings WHERE record = $1 ORDER BY position",
            bind![record],
        )
        .await?
        .iter()
        .map(|row| row.text("value"))
        .collect()
    }

    pub(crate) async fn message_attributes(
        &mut self,
        record: i64,
    ) -> Result<Vec<(u32, String)>, DatabaseError> {
        self.rows(
            "SELECT attribute, value FROM status_message_attributes WHERE record = $1 ORDER BY attribute, value",
            bind![record],
        )
        .await?
        .iter()
        .map(|row| Ok((row.u32("attribute")?, row.text("value")?)))
        .collect()
    }

    /// Removes messages from before `before`, at most `limit`, oldest first, and what other sites were
    /// told of messages then.
    pub async fn delete_messages(&mut self, before: Timestamp, limit: u32) -> Result<u64, DatabaseError> {
        self.execute("DELETE FROM replicas WHERE kind = 'message' AND written_at < $1", bind![before])
            .await?;
        self.execute(
            "DELETE FROM status_messages WHERE record IN
                 (SELECT record FROM status_messages WHERE time < $1 ORDER BY record LIMIT $2)",
            bind![before, limit],
        )
        .await
    }
}
