//! What each answer of a module means for the request, the session and the module.

use cryptoki::error::RvError;

/// What an error says about the rest. The order is that of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorClass {
    /// The device was busy: once more, on another session.
    Transient,
    /// The session, its login or its handles are gone: once more on a new session, then as
    /// [`ErrorClass::Module`].
    Session,
    /// The module lost its token: finalise, initialise, log in, find the keys again.
    Module,
    /// The PIN: never offered twice, a person has to help.
    Pin,
    /// This request, or this program, is wrong: fail it, and say so loudly.
    Request,
}

/// What to do after a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// The same call on another session.
    AnotherSession,
    /// A new initialisation of the module, then the same call.
    NewGeneration,
    /// The request fails.
    GiveUp,
}

/// Every return value that means something else than [`ErrorClass::Request`].
///
/// Codes of vendors are not known here: they take the ladder from its second step, because a device
/// that went away may say so in words of its own.
pub(crate) const CLASSES: &[(RvError, ErrorClass)] = &[
    (RvError::HostMemory, ErrorClass::Transient),
    (RvError::DeviceMemory, ErrorClass::Transient),
    (RvError::FunctionFailed, ErrorClass::Transient),
    (RvError::FunctionCanceled, ErrorClass::Transient),
    (RvError::OperationActive, ErrorClass::Transient),
    (RvError::CantLock, ErrorClass::Transient),
    (RvError::SessionCount, ErrorClass::Transient),
    (RvError::SessionHandleInvalid, ErrorClass::Session),
    (RvError::SessionClosed, ErrorClass::Session),
    (RvError::OperationNotInitialized, ErrorClass::Session),
    (RvError::KeyHandleInvalid, ErrorClass::Session),
    (RvError::ObjectHandleInvalid, ErrorClass::Session),
    (RvError::UserNotLoggedIn, ErrorClass::Session),
    (RvError::DeviceError, ErrorClass::Module),
    (RvError::DeviceRemoved, ErrorClass::Module),
    (RvError::TokenNotPresent, ErrorClass::Module),
    (RvError::TokenNotRecognized, ErrorClass::Module),
    (RvError::SlotIdInvalid, ErrorClass::Module),
    (RvError::CryptokiNotInitialized, ErrorClass::Module),
    (RvError::GeneralError, ErrorClass::Module),
    (RvError::PinIncorrect, ErrorClass::Pin),
    (RvError::PinInvalid, ErrorClass::Pin),
    (RvError::PinLenRange, ErrorClass::Pin),
    (RvError::PinExpired, ErrorClass::Pin),
    (RvError::PinLocked, ErrorClass::Pin),
];

/// The ladder: what the first, second and third failure of one request lead to.
const LADDER: [(ErrorClass, [Remedy; 3]); 5] = {
    use Remedy::{AnotherSession, GiveUp, NewGeneration};
    [
        (ErrorClass::Transient, [AnotherSession, GiveUp, GiveUp]),
        (ErrorClass::Session, [AnotherSession, NewGeneration, GiveUp]),
        (ErrorClass::Module, [NewGeneration, NewGeneration, GiveUp]),
        (ErrorClass::Pin, [GiveUp; 3]),
        (ErrorClass::Request, [GiveUp; 3]),
    ]
};

impl ErrorClass {
    /// All classes, in the ladder's order.
    pub const ALL: [ErrorClass; 5] = [
        ErrorClass::Transient,
        ErrorClass::Session,
        ErrorClass::Module,
        ErrorClass::Pin,
        ErrorClass::Request,
    ];

    pub(crate) fn of(rv: RvError) -> ErrorClass {
        if matches!(rv, RvError::VendorDefined(_) | RvError::UnknownErrorCode(_)) {
            return ErrorClass::Session;
        }
        CLASSES
            .iter()
            .find(|(known, _)| *known == rv)
            .map_or(ErrorClass::Request, |(_, class)| *class)
    }

    /// What to do after the request's `failures`-th failed call (from 0), the last of this class.
    pub(crate) fn remedy(self, failures: usize) -> Remedy {
        LADDER
            .iter()
            .find(|(class, _)| *class == self)
            .and_then(|(_, remedies)| remedies.get(failures))
            .copied()
            .unwrap_or(Remedy::GiveUp)
    }

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            ErrorClass::Transient => "transient",
            ErrorClass::Session => "session",
            ErrorClass::Module => "module",
            ErrorClass::Pin => "pin",
            ErrorClass::Request => "request",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(class: ErrorClass) -> Vec<RvError> {
        let listed = CLASSES.iter().filter(|(_, found)| *found == class);
        listed.map(|(rv, _)| *rv).collect()
    }

    #[test]
    fn no_return_value_is_listed_twice() {
        for (index, (rv, _)) in CLASSES.iter().enumerate() {
            assert!(
                CLASSES[..index].iter().all(|(other, _)| other != rv),
                "{rv:?}"
            );
        }
    }

    #[test]
    fn a_busy_device_is_asked_once_more_on_another_session() {
        for rv in of(ErrorClass::Transient) {
            let class = ErrorClass::of(rv);
            assert_eq!(class.remedy(0), Remedy::AnotherSession, "{rv:?}");
            assert_eq!(class.remedy(1), Remedy::GiveUp, "{rv:?}");
        }
    }

    #[test]
    fn a_dead_session_is_replaced_and_then_the_module_is_initialised_again() {
        for rv in of(ErrorClass::Session) {
            let class = ErrorClass::of(rv);
            assert_eq!(class.remedy(0), Remedy::AnotherSession, "{rv:?}");
            assert_eq!(class.remedy(1), Remedy::NewGeneration, "{rv:?}");
            assert_eq!(class.remedy(2), Remedy::GiveUp, "{rv:?}");
        }
    }

    #[test]
    fn a_dead_module_is_initialised_again_at_once() {
        for rv in of(ErrorClass::Module) {
            assert_eq!(
                ErrorClass::of(rv).remedy(0),
                Remedy::NewGeneration,
                "{rv:?}"
            );
        }
    }

    #[test]
    fn a_refused_pin_is_never_offered_again() {
        for rv in of(ErrorClass::Pin) {
            assert_eq!(ErrorClass::of(rv).remedy(0), Remedy::GiveUp, "{rv:?}");
        }
    }

    #[test]
    fn everything_else_is_the_request_that_is_wrong() {
        for rv in [
            RvError::ArgumentsBad,
            RvError::MechanismInvalid,
            RvError::TemplateInconsistent,
            RvError::DataLenRange,
        ] {
            let class = ErrorClass::of(rv);
            assert_eq!(
                (class, class.remedy(0)),
                (ErrorClass::Request, Remedy::GiveUp)
            );
        }
    }

    #[test]
    fn a_vendors_own_code_climbs_the_ladder() {
        for rv in [
            RvError::VendorDefined(0x8000_0001),
            RvError::UnknownErrorCode(0x7777),
        ] {
            assert_eq!(ErrorClass::of(rv), ErrorClass::Session);
        }
    }
}
