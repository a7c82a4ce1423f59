//! What a PKCS#11 call answered, in the words of the standard.

use cryptoki::error::{Error, RvError};

mod class;

pub use class::ErrorClass;
pub(crate) use class::Remedy;

/// A PKCS#11 function that did not answer `CKR_OK`, named as the standard and the vendor's manual
/// name it: `C_Sign: CKR_DEVICE_ERROR`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {answer}")]
pub struct CallError {
    call: String,
    answer: String,
    rv: Option<RvError>,
}

impl CallError {
    /// The function's name, for example `C_Login`.
    pub fn call(&self) -> &str {
        &self.call
    }

    /// The return value's name, for example `CKR_PIN_INCORRECT`.
    pub fn answer(&self) -> &str {
        &self.answer
    }

    /// What it means for the session and the module.
    pub fn class(&self) -> ErrorClass {
        self.rv.map_or(ErrorClass::Request, ErrorClass::of)
    }

    pub(crate) fn is(&self, expected: RvError) -> bool {
        self.rv == Some(expected)
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> CallError {
        match error {
            Error::Pkcs11(rv, function) => CallError {
                call: format!("C_{function:?}"),
                answer: ckr_name(rv),
                rv: Some(rv),
            },
            // The wrapper itself refused what the module answered, or the module lacks the function.
            other => CallError {
                call: "PKCS#11".to_owned(),
                answer: other.to_string(),
                rv: None,
            },
        }
    }
}

/// `PinIncorrect` becomes `CKR_PIN_INCORRECT`; codes without a name keep their number.
fn ckr_name(rv: RvError) -> String {
    let camel = match rv {
        RvError::VendorDefined(code) => return format!("CKR_VENDOR_DEFINED (0x{code:08x})"),
        RvError::UnknownErrorCode(code) => return format!("unknown return value 0x{code:08x}"),
        named => format!("{named:?}"),
    };
    let mut name = String::from("CKR");
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use cryptoki::context::Function;

    #[test]
    fn an_error_names_the_function_and_the_return_value() {
        let error = CallError::from(Error::Pkcs11(RvError::DeviceError, Function::Sign));
        assert_eq!(error.to_string(), "C_Sign: CKR_DEVICE_ERROR");
        let error = CallError::from(Error::Pkcs11(
            RvError::UserPinNotInitialized,
            Function::Login,
        ));
        assert_eq!(error.to_string(), "C_Login: CKR_USER_PIN_NOT_INITIALIZED");
        let error = CallError::from(Error::Pkcs11(
            RvError::VendorDefined(0x8000_0001),
            Function::Sign,
        ));
        assert_eq!(error.to_string(), "C_Sign: CKR_VENDOR_DEFINED (0x80000001)");
    }
}
