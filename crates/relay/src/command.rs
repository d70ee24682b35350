//! What an operator may ask of a running relay.

use crate::{
    lane::{Flow, LaneId, Posture, Queued, Route},
    record::{Leg, Life, Stage},
    relay::{Relay, Step},
    source::Source,
};
use primitives::{Height, Read, ShardId};
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
    /// Give a dead letter up. Its life tells why; whoever hands its receipt in anew, or has its block read again, has it carried.
    Drop {
        /// Which message.
        message: MessageId,
        /// Why, for a person.
        reason: String,
    },
    /// Read these blocks of a route's source once more, both ends included. What was taken in is not taken in twice.
    Rescan {
        /// Whose messages.
        route: Route,
        /// The first block.
        from: Height,
        /// The last.
        to: Height,
    },
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
    /// There is nothing to read once more.
    #[error("shard {} was read up to block {read} only, so these blocks are yet to come", .route.source)]
    NotRead {
        /// Which route.
        route: Route,
        /// The first block that was not read to its end.
        read: Height,
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
            Command::Drop { message, reason } => self.give_up(*message, reason, step),
            Command::Rescan { route, from, to } => self.rescan(*route, *from, *to),
        }
    }

    fn set_flow(&mut self, route: Route, flow: Flow) -> Result<(), CommandError> {
        if !self.knows(route) {
            return Err(CommandError::NoRoute { route });
        }
        self.lane(LaneId::out(route)).state_mut().flow = flow;
        Ok(())
    }

    fn give_up<R: Read>(
        &mut self,
        message: MessageId,
        reason: &str,
        step: &mut Step<'_, R>,
    ) -> Result<(), CommandError> {
        let (lane, _) = self.exhume(message, step).ok_or(CommandError::NotDead { message })?;
        step.draft.delete_receipt(lane.leg, message);
        let (now, why) = (step.now, format!("an operator gave it up: {reason}"));
        step.draft.change_record(message, |record| record.tell(now, Stage::Dead, 0, &why));
        self.remember_ended(message, step);
        Ok(())
    }

    fn rescan(&mut self, route: Route, from: Height, to: Height) -> Result<(), CommandError> {
        if !self.knows(route) {
            return Err(CommandError::NoRoute { route });
        }
        let lane = self.lane(LaneId::out(route));
        let read = lane.state.cursor.height;
        if !lane.read_again(from, to) {
            return Err(CommandError::NotRead { route, read });
        }
        self.sources.get_mut(&route.source).into_iter().for_each(Source::news);
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
