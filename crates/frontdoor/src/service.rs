//! The AdminService: what each route answers.
//!
//! Source: docs/formats/adminservice.md, "Routes".

mod read;
mod write;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode};
use restock_cim::{Class, ObjectPath, Status};
use restock_wire::odata::{
    AddressError, KeyError, Route, SegmentKey, ServiceDocument, Shown, path_of, service_document,
};
use std::sync::Arc;

use crate::content::Content;
use crate::handler::{Answer, Asked, Handler};
use crate::refused::{Refused, split_code};

/// The media type of answers.
pub(crate) const JSON: &str = "application/json; odata.metadata=minimal; charset=utf-8";
const XML: &str = "application/xml; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

const READING: &str = "GET, HEAD";
const COLLECTION: &str = "GET, HEAD, POST";
const ENTITY: &str = "GET, HEAD, PATCH, DELETE";
const CALL: &str = "POST";

/// True when the headers call a body JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else { return false };
    let media = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/json")
}

impl Handler {
    /// Answers somebody who has signed in.
    pub(crate) async fn serve(&self, asked: Asked) -> Result<Answer, Refused> {
        let route =
            Route::parse(asked.parts.uri.path()).map_err(|error| self.address_refused(&error, &asked))?;
        let method = asked.parts.method.clone();
        let reads = method == Method::GET || method == Method::HEAD;
        let base = asked.base();
        match route {
            Route::Service if reads => {
                let list = service_document(&base, ServiceDocument::Wmi(&self.documents.sets));
                Ok(Answer::json(StatusCode::OK, list))
            }
            Route::Metadata if reads => {
                Ok(Answer::new(StatusCode::OK, XML, Content::Text(self.documents.metadata.clone())))
            }
            Route::Versioned if reads => {
                let base = format!("{}/AdminService/v1.0/", asked.origin);
                Ok(Answer::json(StatusCode::OK, service_document(&base, ServiceDocument::Versioned)))
            }
            Route::VersionedMetadata if reads => {
                Ok(Answer::new(StatusCode::OK, XML, Content::Text(self.documents.empty.clone())))
            }
            Route::Service | Route::Metadata | Route::Versioned | Route::VersionedMetadata => {
                Err(Refused::method(&method, READING))
            }
            Route::Collection(class) => {
                let class = self.class(class.as_str(), &asked)?;
                match method {
                    Method::POST => self.create_or_put(&asked, &class).await,
                    _ if reads => self.collection(asked, class).await,
                    _ => Err(Refused::method(&method, COLLECTION)),
                }
            }
            Route::Count(class) => {
                let class = self.class(class.as_str(), &asked)?;
                if !reads {
                    return Err(Refused::method(&method, READING));
                }
                let count = self.count(&asked, &class).await?;
                Ok(Answer::new(StatusCode::OK, TEXT, Content::Text(count.to_string().into())))
            }
            Route::Entity(class, key) => {
                let class = self.class(class.as_str(), &asked)?;
                let path = self.path(&asked, &class, &key)?;
                match method {
                    Method::PATCH => self.patch(&asked, &class, path).await,
                    Method::DELETE => self.delete(&asked, &class, path).await,
                    _ if reads => self.entity(&asked, &class, path).await,
                    _ => Err(Refused::method(&method, ENTITY)),
                }
            }
            Route::Method(class, key, name) => {
                let class = self.class(class.as_str(), &asked)?;
                if method != Method::POST {
                    return Err(Refused::method(&method, CALL));
                }
                let path = self.path(&asked, &class, &key)?;
                self.call(&asked, &class, path, &name).await
            }
            Route::StaticMethod(class, name) => {
                let class = self.class(class.as_str(), &asked)?;
                if method != Method::POST {
                    return Err(Refused::method(&method, CALL));
                }
                let path = ObjectPath::of_class(class.name.clone());
                self.call(&asked, &class, path, &name).await
            }
        }
    }

    fn class(&self, name: &str, asked: &Asked) -> Result<Arc<Class>, Refused> {
        self.provider.schema().class(name).cloned().ok_or_else(|| {
            let text = format!("no class is called {name}; GET {} lists them", asked.base());
            self.mapping.core(Status::InvalidClass, "INVALID_CLASS", &text, asked.operation(), name)
        })
    }

    fn path(&self, asked: &Asked, class: &Class, key: &SegmentKey) -> Result<ObjectPath, Refused> {
        path_of(class, key, &self.provider.config().zone).map_err(|error| {
            let (status, code) = match &error {
                KeyError::Impossible(_) => (Status::NotFound, "NOT_FOUND"),
                KeyError::Keyless(_) | KeyError::Names { .. } => (Status::InvalidObjectPath, "INVALID_PATH"),
            };
            self.mapping.core(status, code, &error.to_string(), asked.operation(), class.name.as_str())
        })
    }

    fn address_refused(&self, error: &AddressError, asked: &Asked) -> Refused {
        let text = error.to_string();
        let (code, _) = split_code(&text);
        let status = match error {
            AddressError::Unknown(_) => Status::NotFound,
            AddressError::Unsupported(_) => Status::NotSupported,
            _ => Status::InvalidObjectPath,
        };
        let mut refused = self.mapping.core(status, code, &text, asked.operation(), "");
        if matches!(error, AddressError::Length(_)) && !self.mapping.everything_is_404 {
            refused.http = 414;
        }
        refused
    }

    /// What instances need to be shown.
    fn shown(&self) -> Shown {
        let config = self.provider.config();
        Shown { server: config.host.clone(), namespace: self.namespace.clone(), zone: config.zone.clone() }
    }
}

impl Asked {
    /// `https://host:port/AdminService/wmi/`
    fn base(&self) -> String {
        format!("{}/AdminService/wmi/", self.origin)
    }

    /// What the request is to the object core.
    fn operation(&self) -> &'static str {
        match self.parts.method {
            Method::POST => "ExecMethod",
            Method::PATCH => "PutInstance",
            Method::DELETE => "DeleteInstance",
            _ => "GetObject",
        }
    }
}
