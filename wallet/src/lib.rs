//! obol-wallet: the phone side: keys, presentation, QR code
