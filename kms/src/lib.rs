//! Keys in PKCS#11 tokens: typed signing, X.509, the daemon
