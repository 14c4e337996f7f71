//! Control messages: JSON objects with a `type`, inside frames of type 1.
//!
//! Fields that are not known are ignored and messages of an unknown type are skipped, so that a
//! newer peer can say more; what an older peer must understand changes [`PROTOCOL`].
//!
//! Source: docs/formats/link.md, "Control messages".

mod job;

pub use self::job::{Job, JobId, JobKind, Progress, Report, ReportState, Totals};

use restock_names::{ContentVersion, DistributionPointName, SiteCode};
use serde::{Deserialize, Serialize};

use crate::site_message::{Changes, JoiningSite, SiteHello};

/// The version of the protocol that is spoken. A peer with another major number is refused.
pub const PROTOCOL: u32 = 1;

/// The longest control message.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Everything that is said in JSON on a link. The first message of a client tells what the
/// connection is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Message {
    /// Point to site, first: this is a control connection.
    Hello(Hello),
    /// Site to point: the answer to `hello`.
    Welcome(Welcome),
    /// Site to point: something to do.
    Job(Job),
    /// Point to site: what became of a job.
    Report {
        /// Rises within a connection; the site acknowledges it.
        sequence: u64,
        /// The report.
        #[serde(flatten)]
        report: Report,
    },
    /// Site to point: the report is durable.
    Ack {
        /// The report's number.
        sequence: u64,
    },
    /// Point to site: how far a job is. Never acknowledged.
    Progress(Progress),
    /// Either way; answered by `pong`.
    Ping,
    /// The answer to `ping`.
    Pong,
    /// Either way: the request is refused; on a pull or enrolment connection nothing follows.
    Refused(Refusal),
    /// Point to site, first: this connection fetches one version.
    PullHello {
        /// The protocol spoken.
        protocol: u32,
        /// The version.
        content: ContentVersion,
        /// A version of the same package that the puller holds complete: the base of delta frames.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base: Option<ContentVersion>,
    },
    /// Site to point: the version may be fetched.
    PullReady,
    /// Site to point: this version is in the making and may be fetched already, as far as it is there.
    Draft {
        /// The version it will be.
        content: ContentVersion,
    },
    /// Point to site, first: this connection follows a draft.
    DraftHello {
        /// The protocol spoken.
        protocol: u32,
        /// The version it will be.
        content: ContentVersion,
        /// Chunks from this number on are to be announced.
        from: u64,
    },
    /// Site to point: nothing more will be announced.
    DraftEnded {
        /// False when the draft was given up, and its chunks with it.
        is_kept: bool,
    },
    /// A machine without certificate to site, first: it wants one.
    Enrol {
        /// The protocol spoken.
        protocol: u32,
        /// The token's secret.
        #[serde(with = "hex_bytes")]
        secret: Vec<u8>,
        /// The name it wants.
        name: DistributionPointName,
        /// A certificate request in DER.
        #[serde(with = "hex_bytes")]
        request: Vec<u8>,
        /// Of a machine that wants to be a site below this one: what it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<JoiningSite>,
    },
    /// Site to the machine: it is enrolled.
    Enrolled {
        /// The site's code.
        site: SiteCode,
        /// The machine's certificate in DER.
        #[serde(with = "hex_bytes")]
        certificate: Vec<u8>,
        /// The authority's certificate in DER.
        #[serde(with = "hex_bytes")]
        authority: Vec<u8>,
        /// The public key that signs the site's key list.
        #[serde(with = "hex_bytes")]
        root_key: Vec<u8>,
        /// The key list.
        #[serde(with = "hex_bytes")]
        key_list: Vec<u8>,
        /// All authorities that count, signed; empty while there was never another.
        #[serde(default, with = "hex_bytes", skip_serializing_if = "Vec::is_empty")]
        authorities: Vec<u8>,
    },
    /// Point to site on its control connection: a new certificate for the same key, please.
    Renew {
        /// A certificate request in DER.
        #[serde(with = "hex_bytes")]
        request: Vec<u8>,
    },
    /// Site to point: the new certificate.
    Renewed {
        /// The certificate in DER.
        #[serde(with = "hex_bytes")]
        certificate: Vec<u8>,
    },
    /// Site to whoever is connected: the newer list of accepted keys.
    KeyList {
        /// The key list.
        #[serde(with = "hex_bytes")]
        key_list: Vec<u8>,
    },
    /// Site to whoever is enrolled there: other authorities count.
    Authorities {
        /// The list.
        #[serde(with = "hex_bytes")]
        authorities: Vec<u8>,
    },
    /// Site to whoever is enrolled there: it is there, and this is all.
    Head {
        /// The site's head.
        #[serde(with = "hex_bytes")]
        head: Vec<u8>,
    },
    /// A site to the one above it, first: this is a control connection between sites.
    SiteHello(SiteHello),
    /// The answer to `site_hello`.
    SiteWelcome(SiteHello),
    /// Between sites, either way: objects that changed.
    Changes(Changes),
    /// The answer to `changes`: what is applied and durable.
    ChangesAck {
        /// The highest number applied.
        last: u64,
    },
    /// A site to one below it or to a point that serves: it wants to fetch this version.
    PullWanted {
        /// Names this wish.
        ticket: u64,
        /// The version.
        content: ContentVersion,
    },
    /// A site to the one above it, or a point to its site, first: on this connection the wish is granted.
    ServeHello {
        /// The protocol spoken.
        protocol: u32,
        /// The wish.
        ticket: u64,
        /// The version.
        content: ContentVersion,
    },
    /// A message of a type that is not known; skipped.
    #[serde(other)]
    Unknown,
}

/// What a point says about itself when its control connection opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol spoken.
    pub protocol: u32,
    /// The point's library, as hex digits.
    pub library_id: String,
    /// Where the point serves content.
    #[serde(default)]
    pub serve_urls: Vec<String>,
    /// The versions it serves.
    #[serde(default)]
    pub held: Vec<ContentVersion>,
    /// Name and version of its program.
    #[serde(default)]
    pub software: String,
    /// Does it open a connection to serve on when it is asked to?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub serves: bool,
}

/// The site's answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol spoken.
    pub protocol: u32,
    /// The site's code.
    pub site: SiteCode,
    /// The site's key list as encoded by `restock_content::statement::KeyList`.
    #[serde(with = "hex_bytes")]
    pub key_list: Vec<u8>,
    /// The authorities that count, as encoded by `AuthorityList` there; empty while there was never
    /// another.
    #[serde(default, with = "hex_bytes", skip_serializing_if = "Vec::is_empty")]
    pub authorities: Vec<u8>,
    /// The site's head as encoded by `Head` there; empty from a site that makes none.
    #[serde(default, with = "hex_bytes", skip_serializing_if = "Vec::is_empty")]
    pub head: Vec<u8>,
}

/// Why a peer does not do what was asked: a stable code and one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {text}")]
pub struct Refusal {
    /// Stable, upper case.
    pub code: String,
    /// For people.
    pub text: String,
    /// Is it worth asking again?
    #[serde(default)]
    pub is_transient: bool,
}

impl Refusal {
    /// A refusal that will not change by itself.
    pub fn new(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), text: text.into(), is_transient: false }
    }

    /// A refusal that may change.
    pub fn transient(code: &str, text: impl Into<String>) -> Self {
        Self { is_transient: true, ..Self::new(code, text) }
    }
}

impl Message {
    /// The message as the body of a frame.
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("messages have no maps with other keys than strings")
    }

    /// The message in a frame's body.
    pub(crate) fn decode(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }
}

/// Feeds the message decoder: what is accepted must survive being sent again.
#[doc(hidden)]
pub fn fuzz_one(bytes: &[u8]) {
    if let Ok(message) = Message::decode(bytes)
        && message != Message::Unknown
        // Objects are other people's: a number with a fraction may change in its last digit.
        && !matches!(message, Message::Changes(_))
    {
        let again = Message::decode(&message.encode()).expect("what was encoded can be decoded");
        assert_eq!(again, message);
    }
}

/// Bytes as lower-case hex text.
pub(crate) mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            for half in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(half)]));
            }
        }
        serializer.serialize_str(&text)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes: Option<Vec<u8>> = pairs
            .iter()
            .map(|[high, low]| {
                let value = char::from(*high).to_digit(16)? << 4 | char::from(*low).to_digit(16)?;
                u8::try_from(value).ok()
            })
            .collect();
        bytes.filter(|_| rest.is_empty()).ok_or_else(|| serde::de::Error::custom("hex digits are wanted"))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::{any, proptest};
    use restock_names::{ContentVersion, Epoch, SourceVersion, Timestamp};

    use super::{Job, JobId, JobKind, Message, Report, ReportState, Totals, fuzz_one};

    fn content() -> ContentVersion {
        ContentVersion {
            package: "XYZ00001".parse().unwrap(),
            epoch: Epoch::FIRST,
            version: SourceVersion(3),
        }
    }

    #[test]
    fn messages_look_as_documented() {
        let job = Job {
            job_id: JobId(7),
            kind: JobKind::Install,
            content: content(),
            statement: vec![1, 0xab],
            is_public: true,
            name: "Office".to_owned(),
            share: Some("Apps$".to_owned()),
        };
        let report = Report {
            job_id: JobId(7),
            content: content(),
            state: ReportState::Failed,
            code: "CONTENT_TRUNCATED".to_owned(),
            detail: String::new(),
            is_transient: true,
            at: Timestamp(5),
            totals: Totals::default(),
        };
        let shown: Vec<String> = [
            Message::Job(job),
            Message::Report { sequence: 2, report },
            Message::Ping,
            Message::Ack { sequence: 2 },
        ]
        .iter()
        .map(|m| {
            fuzz_one(&m.encode());
            String::from_utf8(m.encode()).unwrap()
        })
        .collect();
        expect![[r#"
            {"type":"job","job_id":7,"kind":"install","content":{"package":"XYZ00001","epoch":1,"version":3},"statement":"01ab","is_public":true,"name":"Office","share":"Apps$"}
            {"type":"report","sequence":2,"job_id":7,"content":{"package":"XYZ00001","epoch":1,"version":3},"state":"failed","code":"CONTENT_TRUNCATED","detail":"","is_transient":true,"at":5,"totals":{"wire_received":0,"wire_sent":0,"frames":0,"raw_bytes":0,"bytes_total":0,"elapsed_ms":0,"damaged":0,"repaired":0}}
            {"type":"ping"}
            {"type":"ack","sequence":2}"#]]
        .assert_eq(&shown.join("\n"));
    }

    #[test]
    fn unknown_fields_types_and_kinds_do_not_break_an_older_peer() {
        assert_eq!(Message::decode(br#"{"type":"dance","to":"x"}"#).unwrap(), Message::Unknown);
        assert_eq!(Message::decode(br#"{"type":"ping","extra":[1]}"#).unwrap(), Message::Ping);
        // What a site said before it had heads and other authorities is what one without says.
        let welcome = r#"{"type":"welcome","protocol":1,"site":"XYZ","key_list":"00"}"#;
        let Message::Welcome(read) = Message::decode(welcome.as_bytes()).unwrap() else {
            panic!("{welcome}")
        };
        assert!(read.head.is_empty() && read.authorities.is_empty());
        assert_eq!(String::from_utf8(Message::Welcome(read).encode()).unwrap(), welcome);
        let job = br#"{"type":"job","job_id":1,"kind":"polish","content":{"package":"XYZ00001","epoch":1,"version":1}}"#;
        assert!(matches!(Message::decode(job).unwrap(), Message::Job(Job { kind: JobKind::Unknown, .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in any::<Vec<u8>>(), text in "\\{\"type\":\"[a-z_]{1,8}\"(,\"[a-z_]{1,9}\":(\"[0-9a-f]{0,6}\"|[0-9]{1,4}))*\\}") {
            fuzz_one(&bytes);
            fuzz_one(text.as_bytes());
        }
    }
}
