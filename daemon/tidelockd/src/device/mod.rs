// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The way to the kernel: `/dev/tidelock`.

mod backoff;
mod channel;
pub mod greeting;
mod keeper;
mod place;
mod session;
mod view;

pub use self::{
    backoff::Backoff,
    channel::{Channel, ChannelError},
    greeting::GreetingError,
    keeper::Keeper,
    place::{OpenError, Place},
    session::{Asked, Question, Session, SessionError},
    view::{View, Views},
};
