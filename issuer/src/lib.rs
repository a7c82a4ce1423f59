//! obol-issuer: the mTLS service that signs passengers' credentials
