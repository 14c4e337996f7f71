//! Deletion of an object.

use std::sync::Arc;

use restock_cim::ObjectPath;

use super::invoke::caused;
use super::keys::ResolvedKeys;
use super::path::{declared, shown};
use super::{Caller, log};
use crate::errors::Action;
use crate::{Provider, Refusal, audit, classes};

impl Provider {
    /// Deletes an object: from the commit on it does not exist for callers.
    ///
    /// What a package leaves on distribution points is removed afterwards by the site's loops.
    pub async fn delete(&self, caller: &Caller, path: &ObjectPath) -> Result<(), Refusal> {
        let shown = shown(path);
        match self.delete_checked(caller, path).await {
            Ok(()) => {
                log::done(caller, &caused(Action::Delete, &shown, ""));
                Ok(())
            }
            Err(refusal) => {
                let refusal = refusal.at(Action::Delete, declared(&path.class).as_str(), &shown);
                self.refused(caller, Action::Delete, &shown, "", &refusal).await;
                Err(refusal)
            }
        }
    }

    async fn delete_checked(&self, caller: &Caller, path: &ObjectPath) -> Result<(), Refusal> {
        let site = self.site_code().await?;
        let class = self.class_of(path, site)?;
        let keys = ResolvedKeys::of_path(&class, path)?;
        let function = classes::live(class.name.as_str()).and_then(|live| live.delete).ok_or_else(|| {
            let text = format!("objects of {} cannot be deleted at this site", class.name);
            Refusal::provider("NOT_SUPPORTED", text)
        })?;
        let context = Arc::new(self.object_context(caller, site, class, Some(keys)));
        self.database
            .transact("delete_object", move |tx| {
                Box::pin(async move {
                    let before = audit::digest_of(tx, &context.shown()).await?;
                    function(&context, tx).await?;
                    let record = audit::Entry {
                        action: Action::Delete,
                        path: &context.shown(),
                        method: "",
                        parameters: &[],
                        package: context.key("PackageID").parse().ok(),
                        result: 0,
                        before,
                    };
                    audit::record(tx, context.at.site, context.at.now, &context.caller, &record).await?;
                    Ok(())
                })
            })
            .await
    }
}
