//! Trust bundle: which issuer keys a terminal may believe
