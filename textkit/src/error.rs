//! What can go wrong, sorted as the C ABI reports it.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A file or an argument is wrong.
    Invalid,
    /// Understood, but not implemented here.
    Unsupported,
    /// The template called raise_exception.
    Raised,
    /// The template failed in another way.
    Failed,
    /// The template went over a limit.
    Limit,
}

#[derive(Clone, Debug)]
pub struct Error {
    pub status: Status,
    pub message: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(status: Status, message: impl Into<String>) -> Error {
        Error { status, message: message.into() }
    }
    pub fn invalid(message: impl Into<String>) -> Error {
        Error::new(Status::Invalid, message)
    }
    pub fn unsupported(message: impl Into<String>) -> Error {
        Error::new(Status::Unsupported, message)
    }
}
