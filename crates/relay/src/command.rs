//! What an operator may ask of a running relay.

use crate::{
    lane::{Flow, LaneId, Posture, Queued, Route},
    record::{Leg, Life, Stage},
    relay::{Relay, Step},
};
use primitives::{Read, ShardId};
use proof::MessageId;

/// An operator's command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Stop sending messages on a route. What is under way goes to its end, and so do deliveries; new messages are
    /// taken in up to the queue's bound and wait.
    Pause(Route),
    /// Send on a route again.
    Resume(Route),
    /// Put a dead letter back in its queue, with all its tries before it.
    Retry(MessageId),
}

/// Why a command was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// One of its ends is no shard this relay carries between.
    #[error("there is no route from shard {} to shard {}", .route.source, .route.destination)]
    NoRoute {
        /// Which route.
        route: Route,
    },
    /// The message is no dead letter here.
    #[error("{message} is no dead letter of this relay")]
    NotDead {
        /// Which message.
        message: MessageId,
    },
    /// Its queue has no room now.
    #[error("the queue from shard {from} to shard {to} is full: retry when it has drained")]
    Full {
        /// Where the lane starts.
        from: ShardId,
        /// Where it ends.
        to: ShardId,
    },
}

impl Relay {
    pub(crate) fn obey<R: Read>(&mut self, command: &Command, step: &mut Step<'_, R>) -> Result<(), CommandError> {
        match command {
            Command::Pause(route) => self.set_flow(*route, Flow::Paused),
            Command::Resume(route) => self.set_flow(*route, Flow::Running),
            Command::Retry(message) => self.revive(*message, step),
        }
    }

    fn set_flow(&mut self, route: Route, flow: Flow) -> Result<(), CommandError> {
        if !self.knows(route) {
            return Err(CommandError::NoRoute { route });
        }
        self.lane(LaneId::out(route)).state_mut().flow = flow;
        Ok(())
    }

    fn revive<R: Read>(&mut self, message: MessageId, step: &mut Step<'_, R>) -> Result<(), CommandError> {
        let (lane, letter) = self.exhume(message, step).ok_or(CommandError::NotDead { message })?;
        if !self.lane(lane).has_place() {
            step.draft.put_value(crate::settings::spaces::DEAD, message.0.as_slice(), &letter);
            self.lane(lane).bury(&letter);
            return Err(CommandError::Full { from: lane.from, to: lane.to });
        }
        let now = step.now;
        step.draft.change_record(message, |record| {
            record.life = if lane.leg == Leg::Out { Life::Out } else { Life::Back };
            record.tell(now, Stage::Revived, 0, "");
        });
        let queued = Queued { due: now, number: self.draw_number(), refusals: 0, bytes: letter.bytes };
        self.queue(lane, message, queued, Posture::Waiting, step);
        Ok(())
    }
}
