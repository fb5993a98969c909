//! HTTP requests of a component, to the hosts that it was granted and to no other.

use std::sync::{Arc, Mutex, PoisonError};
use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody, WasiHttpHooks};

/// The hosts that a component may ask, and the first that it asked without being allowed to.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    allowed: Arc<[String]>,
    refused: Arc<Mutex<Option<String>>>,
}

type Answer = (
    ::http::Response<WasiBody>,
    Box<dyn Future<Output = std::result::Result<(), Error>> + Send>,
);

impl Gate {
    pub(crate) fn new(hosts: &[String]) -> Gate {
        Gate {
            allowed: hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            refused: Arc::default(),
        }
    }

    /// The host that was refused, if one was.
    pub(crate) fn refused(&self) -> Option<String> {
        let refused = self.refused.lock();
        refused.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `name:port` of a request, if that is not allowed.
    fn check(&self, uri: &::http::Uri) -> std::result::Result<(), String> {
        let port = match (uri.port_u16(), uri.scheme_str()) {
            (Some(port), _) => port,
            (None, Some("http")) => 80,
            (None, _) => 443,
        };
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let asked = format!("{host}:{port}");
        match self.allowed.contains(&asked) {
            true => Ok(()),
            false => Err(asked),
        }
    }
}

impl WasiHttpHooks for Gate {
    fn send_request(
        &mut self,
        request: ::http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Box<dyn Future<Output = std::result::Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answer>> + Send> {
        if let Err(asked) = self.check(request.uri()) {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            refused.get_or_insert(asked);
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        Box::new(async move {
            use http_body_util::BodyExt;
            let (answer, rest) = wasmtime_wasi_http::default_send_request(request, options).await?;
            let rest: Box<dyn Future<Output = _> + Send> = Box::new(rest);
            Ok((answer.map(BodyExt::boxed_unsync), rest))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_allowed_by_its_name_and_port_alone() {
        let gate = Gate::new(&[
            "api.example.com:443".to_string(),
            "Localhost:8080".to_string(),
        ]);
        let asked = |uri: &str| match uri.parse() {
            Ok(uri) => gate.check(&uri),
            Err(_) => Err("no address".to_string()),
        };
        for good in [
            "https://api.example.com/x",
            "https://API.example.com:443/",
            "http://localhost:8080/",
        ] {
            assert_eq!(asked(good), Ok(()), "{good}");
        }
        for (bad, name) in [
            ("http://api.example.com/", "api.example.com:80"),
            (
                "https://api.example.com.evil.org/",
                "api.example.com.evil.org:443",
            ),
            ("https://api.example.com@evil.org/", "evil.org:443"),
            ("http://127.0.0.1:8080/", "127.0.0.1:8080"),
        ] {
            assert_eq!(asked(bad), Err(name.to_string()), "{bad}");
        }
    }
}
