//! mTLS for services and clients: identities, accept loop, problem details
