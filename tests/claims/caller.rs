//! A caller that is no shipped client: any request, any header, any identity.

use std::path::Path;

use obol_transport::{
    Bytes, HttpsClient, Identity, Problem, Reply, TransportError, TrustAnchor, http::Request,
};
use obol_world::World;
use tokio::runtime::{Builder, Runtime};

/// An HTTPS client that trusts the world's access CA.
pub(crate) struct Caller {
    runtime: Runtime,
    client: HttpsClient,
}

impl Caller {
    /// Without a certificate.
    pub(crate) fn nobody(world: &World) -> Self {
        Self::with(world, None)
    }

    /// With the certificate and key in these files of the world.
    pub(crate) fn known(world: &World, certificate: &str, key: &str) -> Self {
        let at = |name: &str| world.folder().join(name);
        Self::with(
            world,
            Some(Identity::load(&at(certificate), &at(key)).unwrap()),
        )
    }

    fn with(world: &World, identity: Option<Identity>) -> Self {
        let anchor: &Path = &world.folder().join("access.pem");
        let client = HttpsClient::new(&TrustAnchor::load(anchor).unwrap(), identity);
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        Self {
            runtime: runtime.unwrap(),
            client,
        }
    }

    /// Sends a request; GET without a body.
    pub(crate) fn send(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Reply, TransportError> {
        let mut request = Request::builder().uri(url);
        request = request.method(if body.is_some() { "POST" } else { "GET" });
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Bytes::copy_from_slice(body.unwrap_or_default());
        let request = request.body(body).unwrap();
        self.runtime.block_on(self.client.send(request))
    }

    /// Sends a request that must be refused; returns the problem.
    pub(crate) fn refused(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Problem {
        let reply = self.send(url, headers, body).unwrap();
        assert_eq!(reply.content_type, "application/problem+json", "{reply:?}");
        let document: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        let problem = reply.success().unwrap_err();
        assert_eq!(
            document["type"],
            format!("urn:obol:problem:{}", problem.code)
        );
        assert_eq!(document["status"], problem.status.as_u16());
        problem
    }
}

/// Status and stable code.
pub(crate) fn status_and_code(problem: &Problem) -> (u16, &str) {
    (problem.status.as_u16(), &problem.code)
}
