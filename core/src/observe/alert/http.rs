//! Sends one HTTP request. Without the feature `alerts` there is no client, and a URL is refused when it is given.

use super::request::Request;
use crate::error::{Code, Error, Result};

/// Why a request was not accepted.
#[derive(Debug)]
#[cfg_attr(not(feature = "alerts"), allow(dead_code, reason = "nothing is sent"))]
pub(super) enum Failure {
    /// Another attempt may help.
    Passing(String),
    /// It will not.
    Final(String),
}

#[cfg(feature = "alerts")]
#[derive(Debug)]
pub(super) struct Http(reqwest::Client);

#[cfg(feature = "alerts")]
impl Http {
    pub(super) fn new(_needed: bool) -> Result<Self> {
        let client =
            reqwest::Client::builder().timeout(super::deliver::TIMEOUT).redirect(reqwest::redirect::Policy::none());
        let client = client.build();
        client.map(Self).map_err(|e| Error::new(Code::Internal, "no HTTP client can be made").because(e))
    }

    pub(super) async fn post(&self, request: &Request) -> Result<(), Failure> {
        let mut post = self
            .0
            .post(request.url.expose())
            .header("content-type", request.content_type)
            .header("user-agent", concat!("lastgood/", env!("CARGO_PKG_VERSION")))
            .body(request.body.clone());
        if let Some(signature) = &request.signature {
            post = post.header("lastgood-signature", signature);
        }
        // The URL may hold a token.
        let answer = post.send().await.map_err(|e| Failure::Passing(e.without_url().to_string()))?;
        let status = answer.status();
        match status.as_u16() {
            200..300 => Ok(()),
            408 | 429 | 500.. => Err(Failure::Passing(format!("it answered {status}"))),
            _ => Err(Failure::Final(format!("it answered {status}"))),
        }
    }
}

#[cfg(not(feature = "alerts"))]
#[derive(Debug)]
pub(super) struct Http;

#[cfg(not(feature = "alerts"))]
impl Http {
    pub(super) fn new(needed: bool) -> Result<Self> {
        if needed {
            return Err(Error::new(Code::NotCompiledIn, "alerts over HTTP were not compiled in")
                .next("build lastgood with the feature alerts, or give a command"));
        }
        Ok(Self)
    }

    pub(super) async fn post(&self, _request: &Request) -> Result<(), Failure> {
        Err(Failure::Final("alerts over HTTP were not compiled in".to_owned()))
    }
}
