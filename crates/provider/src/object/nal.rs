//! Distribution points as scripts name them: NAL paths, in which each has the code of its own site.
//!
//! What it does not do: a path says nothing of whether its distribution point exists; that is asked
//! with the rights of the caller.

use restock_names::{DistributionPointName, NalPath, SiteCode};
use restock_sitedb::Tx;

use super::context::{ObjectContext, shown};
use crate::rights::Securable;
use crate::{OperationError, Refusal};

/// What a NAL path names, whether there is such a distribution point or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedPoint {
    /// Its site.
    pub(crate) site: SiteCode,
    /// Its name.
    pub(crate) name: DistributionPointName,
}

impl NamedPoint {
    /// Reads a NAL path, in any letter case.
    ///
    /// Errors: `POINT_UNKNOWN` for a text that is not the NAL path of any distribution point.
    pub(crate) fn of_nal(text: &str) -> Result<Self, Refusal> {
        // The name stands between the last `\\` and the final `\`, the site before the last `"]`; the
        // rest must be what we write.
        let parts = || {
            let (rest, name) = text.strip_suffix('\\')?.rsplit_once(r"\\")?;
            let site = rest.strip_suffix("\"]")?.rsplit_once('=')?.1;
            let named = Self { site: site.parse().ok()?, name: name.parse().ok()? };
            NalPath::new(named.site, &named.name).as_str().eq_ignore_ascii_case(text).then_some(named)
        };
        parts().ok_or_else(|| {
            let text = format!("no distribution point has the NAL path {}", shown(text));
            Refusal::provider("POINT_UNKNOWN", text)
        })
    }
}

impl ObjectContext {
    /// The distribution point that a NAL path names, if it is known here, at that very site, and the
    /// caller holds `operations` on it.
    ///
    /// Errors: `POINT_UNKNOWN`, also for one that the caller may not read; `SCOPE`.
    pub(crate) async fn point(
        &self,
        tx: &mut Tx,
        nal_path: &str,
        operations: u32,
    ) -> Result<DistributionPointName, Refusal> {
        let named = NamedPoint::of_nal(nal_path)?;
        self.named_point(tx, named, operations).await
    }

    /// The same for a path that was read already.
    pub(crate) async fn named_point(
        &self,
        tx: &mut Tx,
        NamedPoint { site, name }: NamedPoint,
        operations: u32,
    ) -> Result<DistributionPointName, Refusal> {
        self.require(tx, Securable::Point(name.clone()), operations).await?;
        // Asked after the right: whether a name is taken elsewhere is told only to who may read it.
        let known = tx.point(&name).await?;
        let nal_path = NalPath::new(site, &name);
        if known.is_none_or(|point| point.nal_path != nal_path.as_str()) {
            return Err(OperationError::unknown_point(&name).into());
        }
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::NamedPoint;

    #[test]
    fn a_nal_path_is_read_in_any_letter_case_and_only_as_it_is_written() {
        let read = |text: &str| NamedPoint::of_nal(text).ok().map(|named| (named.site, named.name));
        let (site, name) = (r#"["Display=\\dp01\"]msWNET:["sms_SITE=abc"]\\DP01\"#, "DP01");
        assert_eq!(read(site), Some(("ABC".parse().expect("a code"), name.parse().expect("a name"))));
        for bad in [
            "",
            "DP01",
            r"\\DP01\",
            r#"["Display=\\DP01\"]MSWNET:["SMS_SITE=ABC"]\\DP02\"#,
            r#"["Display=\\DP01\"]MSWNET:["SMS_SITE=ABCD"]\\DP01\"#,
            r#"["Display=\\DP01\"]MSWNET:["SMS_SITE=ABC"]\\DP01"#,
            r#"["Display=\\DP01\"]MSWNET:["SMS_SITE=ABC"]\\DP01\ "#,
            r#"["Display=\\\"]MSWNET:["SMS_SITE=ABC"]\\\"#,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
