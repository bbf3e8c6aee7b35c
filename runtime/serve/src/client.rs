//! The device's end of a cascade.

use crate::ServeError;
use crate::protocol::{ErrorBody, InferRequest, InferResponse};
use crate::tensor_data::TensorData;
use sanderling_session::{CloudEndpoint, CloudError, CloudReply, CloudRequest};
use std::net::IpAddr;
use std::time::Duration;

/// Largest answer that is read.
const MAX_ANSWER: u64 = 64 << 20;

/// A model behind an Open Inference Protocol v2 server. One call is one attempt.
///
/// Inputs and the token leave the machine by TLS or not at all: plain HTTP is for loopback, redirects are not followed,
/// and no environment's proxy is asked.
#[derive(Debug, Clone)]
pub struct HttpEndpoint {
    base: String,
    token: Option<String>,
    agent: ureq::Agent,
}

impl HttpEndpoint {
    /// `base` is the server's address, without `/v2`: `https://models.example`. A token is sent as `Bearer`.
    ///
    /// # Errors
    /// [`ServeError::InsecureEndpoint`] for `http://` to another machine, [`ServeError::EndpointAddress`] for what is
    /// no address, or holds more than one.
    pub fn new(base: &str, token: Option<&str>) -> Result<Self, ServeError> {
        check(base)?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        let base = base.trim_end_matches('/').trim_end_matches("/v2").to_string();
        Ok(Self {
            base,
            token: token.map(str::to_string),
            agent: config.into(),
        })
    }

    fn send(&self, request: &CloudRequest<'_>) -> Result<ureq::http::Response<ureq::Body>, CloudError> {
        let tensors = request
            .inputs
            .iter()
            .map(|(name, view)| TensorData::from_view(name, *view));
        let inputs = tensors
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| CloudError::Rejected(error.to_string()))?;
        let body = InferRequest {
            id: None,
            inputs,
            outputs: Vec::new(),
        };
        let text = serde_json::to_vec(&body).map_err(|error| CloudError::Rejected(error.to_string()))?;
        let url = format!("{}/v2/models/{}/infer", self.base, request.model);
        let mut call = self.agent.post(url).header("content-type", "application/json");
        if let Some(token) = &self.token {
            call = call.header("authorization", format!("Bearer {token}"));
        }
        call.config()
            .timeout_global(Some(request.timeout))
            .build()
            .send(&text)
            .map_err(failed)
    }
}

/// Whether this is an address, and what is sent there can be read on the way by nobody else.
fn check(url: &str) -> Result<(), ServeError> {
    // A name and a password in front of an address only make it look like another.
    let (before, shown) = url.rsplit_once('@').unwrap_or(("", url));
    let no_address = || ServeError::EndpointAddress {
        // What stands before the @ may be a password.
        url: format!("{}{shown}", if before.is_empty() { "" } else { "…@" }),
    };
    let uri = url.parse::<ureq::http::Uri>().map_err(|_| no_address())?;
    let host = uri.host().unwrap_or("");
    if url.contains(['@', '#']) || uri.query().is_some() || host.is_empty() {
        return Err(no_address());
    }
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if loopback => Ok(()),
        Some("http") => Err(ServeError::InsecureEndpoint { url: url.to_string() }),
        _ => Err(no_address()),
    }
}

fn failed(error: ureq::Error) -> CloudError {
    match error {
        ureq::Error::Timeout(_) => CloudError::Timeout,
        ureq::Error::BadUri(_) => CloudError::Rejected(error.to_string()),
        other => CloudError::Unreachable(other.to_string()),
    }
}

impl CloudEndpoint for HttpEndpoint {
    fn infer(&mut self, request: &CloudRequest<'_>) -> Result<CloudReply, CloudError> {
        let mut answer = self.send(request)?;
        let status = answer.status();
        let after = answer
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = answer
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_vec()
            .map_err(failed)?;
        if !status.is_success() {
            let words = serde_json::from_slice::<ErrorBody>(&bytes)
                .map_or_else(|_| status.to_string(), |body| body.error);
            return Err(match status.as_u16() {
                429 | 503 => CloudError::Overloaded {
                    retry_after: after.map(Duration::from_secs),
                },
                408 | 504 => CloudError::Timeout,
                500.. => CloudError::Server(words),
                _ => CloudError::Rejected(words),
            });
        }
        let reply: InferResponse =
            serde_json::from_slice(&bytes).map_err(|error| CloudError::Server(error.to_string()))?;
        Ok(CloudReply {
            outputs: reply.outputs.into_iter().map(TensorData::into_parts).collect(),
        })
    }
}
