//! The control file: what goes wrong, and at which call.

use std::time::Duration;

use crate::values::value_of;

/// A control file, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Which writing of the file this is; calls are counted from it on.
    pub epoch: u64,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The function's name in the standard.
    pub function: String,
    /// Which of its calls.
    pub calls: Calls,
    /// What happens to them.
    pub action: Action,
}

/// Calls of one function, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// From the first to the last of these, both included.
    Between(u64, u64),
    /// Each call whose number is a multiple.
    Every(u64),
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is forwarded that much later.
    Delay(Duration),
    /// It returns when the control file changes, and is forwarded then.
    Hang,
    /// It answers with this value and is not forwarded.
    Return(u64),
    /// It is forwarded, and answers with this value whatever the module answered.
    Replace(u64),
    /// Every session of the process is closed, then it is forwarded.
    DropSessions,
    /// What it wrote (a signature) has a bit flipped.
    Corrupt,
    /// What it lists is nothing.
    Empty,
    /// Asked for nothing but the length of this attribute, it answers so many bytes.
    Length {
        /// The attribute's number.
        attribute: u64,
        /// The length in bytes.
        bytes: u64,
    },
    /// The process ends as by a crash.
    Abort,
}

/// Why a control file is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

impl Control {
    /// Reads a control file's text.
    ///
    /// # Errors
    /// [`Refused`] names the line.
    pub fn parse(text: &str) -> Result<Control, Refused> {
        let mut lines = text.lines();
        let epoch = lines
            .next()
            .and_then(|line| line.strip_prefix("epoch "))
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| Refused("the first line is not `epoch NUMBER`".to_owned()))?;
        let rules = lines
            .map(|line| line.split('#').next().unwrap_or_default().trim())
            .filter(|line| !line.is_empty())
            .map(|line| rule(line).ok_or_else(|| Refused(format!("no rule: {line}"))))
            .collect::<Result<_, _>>()?;
        Ok(Control { epoch, rules })
    }

    /// What happens to the `number`-th call of `function`.
    pub fn actions(&self, function: &str, number: u64) -> Vec<Action> {
        self.rules
            .iter()
            .filter(|rule| rule.function == function && rule.calls.hold(number))
            .map(|rule| rule.action)
            .collect()
    }
}

impl Calls {
    fn hold(self, number: u64) -> bool {
        match self {
            Calls::Between(first, last) => (first..=last).contains(&number),
            Calls::Every(step) => number.is_multiple_of(step),
        }
    }
}

fn rule(line: &str) -> Option<Rule> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [function, when, what @ ..] = words.as_slice() else {
        return None;
    };
    function.strip_prefix("C_")?;
    Some(Rule {
        function: (*function).to_owned(),
        calls: calls(when)?,
        action: action(what)?,
    })
}

fn calls(text: &str) -> Option<Calls> {
    if text == "*" {
        return Some(Calls::Between(1, u64::MAX));
    }
    if let Some(step) = text.strip_prefix('/') {
        return step.parse().ok().filter(|step| *step > 0).map(Calls::Every);
    }
    let (first, last) = match text.split_once('-') {
        Some((first, "")) => (first.parse().ok()?, u64::MAX),
        Some((first, last)) => (first.parse().ok()?, last.parse().ok()?),
        None => (text.parse().ok()?, text.parse().ok()?),
    };
    Some(Calls::Between(first, last)).filter(|_| first > 0 && first <= last)
}

fn action(words: &[&str]) -> Option<Action> {
    Some(match words {
        ["delay", milliseconds] => Action::Delay(Duration::from_millis(milliseconds.parse().ok()?)),
        ["hang"] => Action::Hang,
        ["return", value] => Action::Return(value_of(value)?),
        ["replace", value] => Action::Replace(value_of(value)?),
        ["drop-sessions"] => Action::DropSessions,
        ["corrupt"] => Action::Corrupt,
        ["empty"] => Action::Empty,
        ["length", attribute, bytes] => Action::Length {
            attribute: value_of(attribute)?,
            bytes: bytes.parse().ok()?,
        },
        ["abort"] => Action::Abort,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_speaks_of_its_calls_alone() {
        let control = Control::parse(
            "epoch 7\n# nothing\nC_Sign 1 return CKR_DEVICE_ERROR\nC_Sign 3- delay 20\n\
             C_Sign /4 corrupt\nC_Login 2-3 hang\nC_Login * replace 0x80000001\n",
        );
        let control = control.unwrap();
        assert_eq!(control.epoch, 7);
        let delay = Action::Delay(Duration::from_millis(20));
        assert_eq!(control.actions("C_Sign", 1), [Action::Return(0x30)]);
        assert_eq!(control.actions("C_Sign", 2), []);
        assert_eq!(control.actions("C_Sign", 8), [delay, Action::Corrupt]);
        let replaced = Action::Replace(0x8000_0001);
        assert_eq!(control.actions("C_Login", 3), [Action::Hang, replaced]);
        assert_eq!(control.actions("C_Login", 4), [replaced]);
        assert_eq!(control.actions("C_SignInit", 1), []);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for line in [
            "C_Sign",
            "C_Sign 0 abort",
            "C_Sign 3-2 abort",
            "C_Sign /0 abort",
            "Sign 1 abort",
            "C_Sign 1 return CKR_NONSENSE",
            "C_Sign 1 explode",
        ] {
            let refused = Control::parse(&format!("epoch 1\n{line}\n")).unwrap_err();
            assert_eq!(refused, Refused(format!("no rule: {line}")));
        }
        let refused = Control::parse("C_Sign 1 abort\n").unwrap_err();
        assert_eq!(refused.0, "the first line is not `epoch NUMBER`");
    }
}
