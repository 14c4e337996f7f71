//! What an object is associated with.
//!
//! The association classes say which properties of their ends are equal, so both kinds of
//! operations are ordinary queries. Source: DSP0200, 5.3.2.18-21.

use restock_cim::query::wql::{Associators, References, Statement};
use restock_cim::query::{Query, QueryErrorKind};
use restock_cim::{Keys, ObjectPath};
use restock_wire::cimxml::{CimCode, Intrinsic};

use super::fault::Fault;
use super::read::Asking;
use super::rows::Form;
use super::{Operation, Space};
use crate::content::Content;

/// Parameters of the operations that give whole objects.
const SHOWING: [&str; 3] = ["IncludeQualifiers", "IncludeClassOrigin", "PropertyList"];

impl Operation<'_> {
    pub(super) async fn associators(&self, call: &Intrinsic, is_names: bool) -> Result<Content, Fault> {
        let form = if is_names { Form::ObjectPath } else { Form::ObjectWithPath };
        let asking = self.partners(call, "ObjectName", form, &[]).await?;
        self.stream(asking).await
    }

    pub(super) async fn references(&self, call: &Intrinsic, is_names: bool) -> Result<Content, Fault> {
        let form = if is_names { Form::ObjectPath } else { Form::ObjectWithPath };
        let asking = self.associations(call, "ObjectName", form, &[]).await?;
        self.stream(asking).await
    }

    /// The objects at the other ends.
    pub(super) async fn partners(
        &self,
        call: &Intrinsic,
        object: &str,
        form: Form,
        more: &[&str],
    ) -> Result<Asking, Fault> {
        let own = [object, "AssocClass", "ResultClass", "Role", "ResultRole"];
        self.check(call, &own, form, more)?;
        let path = self.object(call, object).await?;
        let statement = Statement::Associators(Box::new(Associators {
            path,
            association: call.class_name("AssocClass")?,
            result_class: call.class_name("ResultClass")?,
            role: call.text("Role")?.map(Into::into),
            result_role: call.text("ResultRole")?.map(Into::into),
            is_keys_only: is_names(form),
        }));
        self.asking(call, statement, form)
    }

    /// The associations themselves.
    pub(super) async fn associations(
        &self,
        call: &Intrinsic,
        object: &str,
        form: Form,
        more: &[&str],
    ) -> Result<Asking, Fault> {
        self.check(call, &[object, "ResultClass", "Role"], form, more)?;
        let path = self.object(call, object).await?;
        let statement = Statement::References(Box::new(References {
            path,
            result_class: call.class_name("ResultClass")?,
            role: call.text("Role")?.map(Into::into),
            is_keys_only: is_names(form),
        }));
        self.asking(call, statement, form)
    }

    fn check(&self, call: &Intrinsic, own: &[&str], form: Form, more: &[&str]) -> Result<(), Fault> {
        let mut all = own.to_vec();
        all.extend(more);
        if !is_names(form) {
            all.extend(SHOWING);
        }
        Ok(call.only(&all)?)
    }

    /// The object asked about, which must be there and to be seen.
    async fn object(&self, call: &Intrinsic, name: &str) -> Result<ObjectPath, Fault> {
        let path = call.path(name)?;
        if path.keys == Keys::Class {
            let text = "associations of a class itself are not offered, only of an instance";
            return Err(Fault::new(CimCode::NotSupported, "NOT_SUPPORTED", text));
        }
        let class = self.class(&path.class)?;
        if self.space == Space::Interop {
            return Err(Fault::new(
                CimCode::NotSupported,
                "NOT_SUPPORTED",
                "namespaces have no associations",
            ));
        }
        let path = ObjectPath { class: class.name.clone(), ..self.within(path) };
        self.handler.provider.get(self.caller, &path).await?;
        Ok(path.relative())
    }

    fn asking(&self, call: &Intrinsic, statement: Statement, form: Form) -> Result<Asking, Fault> {
        let shown_only = if is_names(form) { None } else { call.names("PropertyList")? };
        let queries: Vec<Query> = statement.queries(self.handler.provider.schema()).map_err(|error| {
            // A class or path of a parameter is a parameter here, not a query.
            let is_parameter = matches!(error.kind, QueryErrorKind::UnknownClass | QueryErrorKind::WqlSyntax);
            let fault = Fault::of_query(error, "");
            if is_parameter { fault.with_code(CimCode::InvalidParameter) } else { fault }
        })?;
        let mut shown = self.shown_as(call)?;
        shown.only = shown_only;
        Ok(Asking { queries, ready: Vec::new(), shown, form })
    }
}

fn is_names(form: Form) -> bool {
    matches!(form, Form::ObjectPath | Form::Path)
}
