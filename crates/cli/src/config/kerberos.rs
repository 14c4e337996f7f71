//! `[kerberos]`: signing in at the management doors with tickets.

use restock_frontdoor::ChannelBinding;
use serde::Deserialize;

use super::values::quoted;

/// `[kerberos]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct KerberosSection {
    /// File with the keys of this service; from the data folder on when it is relative. Empty: none.
    pub(crate) keytab: String,
    pub(crate) channel_binding: ChannelBindingText,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ChannelBindingText {
    #[default]
    Required,
    WhenSent,
}

impl KerberosSection {
    /// What is asked of clients over TLS.
    pub(crate) fn binding(&self) -> ChannelBinding {
        match self.channel_binding {
            ChannelBindingText::Required => ChannelBinding::Required,
            ChannelBindingText::WhenSent => ChannelBinding::WhenSent,
        }
    }

    pub(super) fn template(&self) -> String {
        format!(
            "\
[kerberos]
# Keytab with the keys of HTTP/NAME and WSMAN/NAME: clients sign in at the doors above with tickets for
# them. Only a restock built with the feature kerberos knows it. Empty: no Kerberos.
keytab = {}
# Over TLS: \"required\" takes tickets that are bound to the certificate; \"when-sent\" also those of clients
# that send no binding.
channel_binding = \"{}\"
",
            quoted(&self.keytab),
            match self.channel_binding {
                ChannelBindingText::Required => "required",
                ChannelBindingText::WhenSent => "when-sent",
            },
        )
    }
}
