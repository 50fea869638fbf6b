// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The first frame: who is there, and whether it can be spoken with.

use tidelock_wire::{
    ABI_VERSION, Answer, DecodeError, EngineState, Frame, HEADER_LEN, Hello, MAGIC, WIRE_VERSION,
};

/// The module cannot be spoken with.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GreetingError {
    /// It speaks another version of the frames' meaning.
    #[error(
        "the module speaks version {module} of the interface and this daemon version {ABI_VERSION}: \
         install module and daemon of the same release"
    )]
    Abi {
        /// The module's.
        module: u32,
    },
    /// It speaks another version of the frames' form.
    #[error(
        "the module speaks wire version {module} and this daemon {WIRE_VERSION}: install module \
         and daemon of the same release"
    )]
    Wire {
        /// The module's.
        module: u8,
    },
    /// Its core is dead.
    #[error(
        "the module's core is dead after {panics} panics: connections are refused until it is \
         loaded again (rmmod tidelock && modprobe tidelock); the kernel's log says why"
    )]
    Dead {
        /// How often it panicked.
        panics: u64,
    },
    /// The first frame is something else.
    #[error("the first frame is no hello")]
    NoHello,
    /// It is not a frame.
    #[error("the first frame is none: {0}")]
    Decode(DecodeError),
}

/// The number of a hello in a frame's header, in every version.
const HELLO: u8 = 0x81;

/// Reads the first frame.
///
/// # Errors
/// When the module cannot be spoken with.
pub fn read(bytes: &[u8]) -> Result<Hello, GreetingError> {
    match Frame::<Answer<'_>>::decode(bytes) {
        Ok(Frame {
            message: Answer::Hello(hello),
            ..
        }) => check(hello),
        Ok(_) => Err(GreetingError::NoHello),
        Err(DecodeError::Version { version }) => Err(GreetingError::Wire { module: version }),
        // A hello of another version can have another length; it begins with the version still.
        Err(error) => Err(match other_abi(bytes) {
            Some(module) => GreetingError::Abi { module },
            None => GreetingError::Decode(error),
        }),
    }
}

fn check(hello: Hello) -> Result<Hello, GreetingError> {
    if hello.abi != ABI_VERSION {
        return Err(GreetingError::Abi { module: hello.abi });
    }
    match hello.engine {
        EngineState::Ready => Ok(hello),
        EngineState::Dead => Err(GreetingError::Dead {
            panics: hello.panics,
        }),
    }
}

fn other_abi(bytes: &[u8]) -> Option<u32> {
    let (header, payload) = bytes.split_at_checked(HEADER_LEN)?;
    let [m0, m1, _, kind, ..] = header else {
        return None;
    };
    if u16::from_le_bytes([*m0, *m1]) != MAGIC || *kind != HELLO {
        return None;
    }
    let abi = u32::from_le_bytes(*payload.first_chunk()?);
    (abi != ABI_VERSION).then_some(abi)
}

#[cfg(test)]
mod tests {
    use tidelock_wire::{Capabilities, MAX_FRAME, Refusal, Version};

    use super::*;

    fn hello() -> Hello {
        Hello {
            abi: ABI_VERSION,
            module: Version {
                major: 1,
                minor: 2,
                patch: 3,
            },
            capabilities: Capabilities::IPV6,
            engine: EngineState::Ready,
            panics: 4,
            frames_refused: 5,
        }
    }

    fn bytes(message: Answer<'_>) -> Vec<u8> {
        let mut buffer = [0; MAX_FRAME];
        let len = Frame { id: 0, message }.encode(&mut buffer).unwrap();
        buffer[..len].to_vec()
    }

    #[test]
    fn only_a_hello_of_this_version_is_good_enough() {
        let read_hello = |hello| read(&bytes(Answer::Hello(hello)));
        assert_eq!(read_hello(hello()), Ok(hello()));
        let other = Hello {
            abi: ABI_VERSION + 1,
            ..hello()
        };
        let error = read_hello(other).unwrap_err();
        assert_eq!(
            error,
            GreetingError::Abi {
                module: ABI_VERSION + 1
            }
        );
        let text = error.to_string();
        for version in [ABI_VERSION, ABI_VERSION + 1] {
            assert!(text.contains(&format!("version {version}")), "{text}");
        }
        let dead = Hello {
            engine: EngineState::Dead,
            ..hello()
        };
        assert_eq!(read_hello(dead), Err(GreetingError::Dead { panics: 4 }));
        let refused = read(&bytes(Answer::Refused(Refusal::Unsupported)));
        assert_eq!(refused, Err(GreetingError::NoHello));
    }

    #[test]
    fn a_hello_of_another_form_still_tells_its_version() {
        let mut longer = bytes(Answer::Hello(Hello { abi: 77, ..hello() }));
        longer.extend([0; 4]);
        longer[4] += 4;
        assert_eq!(read(&longer), Err(GreetingError::Abi { module: 77 }));
        let mut other = bytes(Answer::Hello(hello()));
        other[2] = 9;
        assert_eq!(read(&other), Err(GreetingError::Wire { module: 9 }));
        // Of this version and odd all the same.
        let mut odd = bytes(Answer::Hello(hello()));
        odd.truncate(HEADER_LEN + 4);
        assert!(matches!(read(&odd), Err(GreetingError::Decode(_))));
        assert!(matches!(read(&[]), Err(GreetingError::Decode(_))));
    }
}
