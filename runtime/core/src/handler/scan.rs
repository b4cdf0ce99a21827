//! How a handler scans the log: which events become deliveries, and which become corrections.

use weirgate_types::{DeliveryId, Interest, KEY_REPAIRED, KeyHash, Position};

use super::{Handler, MovedLane, ONE_LANE, Opened};
use crate::{DeliveryPhase, DeliveryRow, EventHead, Limits, Next};

/// What a handler makes of scanned events.
#[derive(Debug, Default)]
pub struct Found {
    pub opened: Vec<Opened>,
    /// Lanes that moved to the version of an opened delivery's attempts.
    pub moved: Vec<MovedLane>,
    /// Rows that were offered a correction.
    pub offered: Vec<(Position, DeliveryRow)>,
    /// Deliveries that run again, each with the correction at the second position.
    pub corrected: Vec<(Position, Position)>,
    /// Lanes and their new next numbers.
    pub next: Vec<(KeyHash, Next)>,
}

impl Handler {
    /// Takes the events of an appended record, if everything before it was taken and there is room. `width` is the number of
    /// positions that the record covers.
    pub fn follow(&mut self, first: Position, width: u64, events: &[EventHead], limits: &Limits) -> Found {
        let mut found = Found::default();
        if self.scanned.next() != first || !self.has_room(limits) {
            return found;
        }
        for head in events {
            self.take(head, &mut found);
        }
        self.seen += events.len() as u64;
        self.set_scanned(first.plus(width).before());
        found
    }

    /// Takes the result of a scan.
    pub fn scanned_to(&mut self, events: &[EventHead], through: Position) -> Found {
        self.scanning = false;
        let mut found = Found::default();
        let scanned = self.scanned;
        for head in events.iter().filter(|head| head.position > scanned) {
            self.take(head, &mut found);
        }
        self.seen += events.iter().filter(|head| head.position > scanned).count() as u64;
        self.set_scanned(self.scanned.max(through));
        self.ahead = self.ahead.split_off(&self.scanned.next());
        found
    }

    /// Where to scan next, and how far, if there is something to scan and room for it. Without room, no further than the
    /// last position that records name: those deliveries were opened before.
    pub fn scan_after(&mut self, until: Position, limits: &Limits) -> Option<(Position, Position)> {
        let spoken_of = self.ahead.last_key_value().map_or(Position::ZERO, |(position, _)| *position);
        let until = if self.has_room(limits) { until } else { until.min(spoken_of) };
        let wanted = !self.scanning && self.scanned < until;
        self.scanning |= wanted;
        wanted.then_some((self.scanned, until))
    }

    fn take(&mut self, head: &EventHead, found: &mut Found) {
        self.seen_ms = self.seen_ms.max(head.at_ms);
        if self.corrects(head) {
            self.offer(head.key, head.position, found);
        }
        if self.wants(head) {
            self.open(head, found);
        }
    }

    fn in_force(&self, position: Position) -> Option<&Interest> {
        let known = self.subscriptions.partition_point(|(from, _)| *from <= position);
        self.subscriptions.get(known.saturating_sub(1)).map(|(_, interest)| interest)
    }

    fn wants(&self, head: &EventHead) -> bool {
        match &head.to {
            Some(to) => *to == self.deployed.handler,
            None => self.in_force(head.position).is_some_and(|one| one.matches(&head.r#type, &head.source)),
        }
    }

    fn corrects(&self, head: &EventHead) -> bool {
        let is_for_all = head.to.as_ref().is_none_or(|to| *to == self.deployed.handler);
        is_for_all && self.in_force(head.position).is_some_and(|one| one.corrects(&head.r#type, &head.source))
    }

    /// A correction came for a key: for the delivery that awaits it, or for one that may come to await it.
    fn offer(&mut self, key: KeyHash, correction: Position, found: &mut Found) {
        // Deliveries opened under another manifest are in the other kind of lane.
        for lane in [key, ONE_LANE] {
            self.offer_to_lane(lane, key, correction, found);
        }
    }

    fn offer_to_lane(&mut self, lane: KeyHash, key: KeyHash, correction: Position, found: &mut Found) {
        for position in self.lanes.of_lane(lane) {
            let is_news = |row: &&DeliveryRow| row.key == key && row.takes(position, correction);
            let Some(row) = self.lanes.get(position).filter(is_news) else { continue };
            if row.phase == DeliveryPhase::AwaitingCorrection {
                // If several come at once, the last one applies.
                found.corrected.retain(|(other, _)| *other != position);
                found.corrected.push((position, correction));
            }
            if let Some(row) = self.lanes.change(position, |row| row.offered = Some(correction)) {
                found.offered.push((position, row.clone()));
            }
        }
        if self.lanes.spilled.holds(lane) {
            self.lanes.spilled.offer(lane, key, correction);
        }
    }

    fn open(&mut self, head: &EventHead, found: &mut Found) {
        let (alone, sequence) = (head.r#type == KEY_REPAIRED, self.sequence_of(head));
        let row = DeliveryRow { alone, sequence, ..self.row_for(head.position, head.key, head.position) };
        match self.ahead.remove(&head.position) {
            None => found.opened.push(self.place(head.position, row)),
            Some(Some(known)) => {
                let DeliveryRow { key, lane, parallel, alone, sequence, era, .. } = row;
                let as_of = if known.attempt > 0 { known.as_of } else { row.as_of };
                let mut row = DeliveryRow { key, lane, parallel, as_of, alone, sequence, era, ..known };
                if row.attempt > 0 && !self.finishing.is_empty() {
                    found.moved.extend(self.join_lane(&mut row));
                }
                found.opened.push(self.place(head.position, row));
            }
            Some(None) => found.next.extend(self.lanes.pass(&row)),
        }
    }

    fn set_scanned(&mut self, scanned: Position) {
        self.scanned = scanned;
        let in_force = self.subscriptions.partition_point(|(from, _)| *from <= scanned.next());
        self.subscriptions.drain(..in_force.saturating_sub(1));
    }

    /// The id of one of the handler's deliveries.
    pub fn id(&self, position: Position) -> DeliveryId {
        DeliveryId { handler: self.deployed.handler.clone(), position }
    }
}
