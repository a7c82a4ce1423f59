//! PT1, the offline transit credential: claims, deterministic CBOR, COSE, base45
