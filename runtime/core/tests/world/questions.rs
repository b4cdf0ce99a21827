//! What tests ask of the world: handlers, states, events, emissions and commands.

use super::*;

impl World {
    pub fn handler(&self, handler: &str) -> HandlerView<'_> {
        self.machine.handler(&name(handler)).expect("a handler")
    }

    /// The phases of handler `a`'s deliveries in memory.
    pub fn states(&self) -> Vec<(u64, &'static str)> {
        let handler = name("a");
        let views = self.machine.deliveries(&handler, Position::ZERO);
        views.map(|view| (view.delivery.position.0, view.state.name().as_str())).collect()
    }

    pub fn state(&self, position: Position) -> Option<DeliveryState> {
        self.machine.state(&delivery("a", position))
    }

    /// The event at a position.
    pub fn event_at(&self, position: Position) -> &Event {
        let after = self.log.partition_point(|(first, _)| *first <= position);
        let (first, record) = self.log.get(after - 1).expect("a record");
        record.event_at(position.0 - first.0).expect("an event")
    }

    /// The emitted events of a type, each by the position of the event that caused it.
    pub fn emitted(&self) -> Vec<u64> {
        self.emitted_where(|_| true)
    }

    /// The same, for one handler.
    pub fn emitted_by(&self, handler: &HandlerName) -> Vec<Position> {
        let source = format!("/handlers/{handler}");
        self.emitted_where(|event| event.source == source).into_iter().map(Position).collect()
    }

    fn emitted_where(&self, is_wanted: impl Fn(&Event) -> bool) -> Vec<u64> {
        let events = self.log.iter().flat_map(|(first, record)| record.events(*first)).map(|(_, event)| event);
        let events = events.filter(|event| event.r#type == "out.done" && is_wanted(event));
        events.map(|event| event.id.parse().expect("a position")).collect()
    }

    /// Commands for deliveries, with their actors.
    pub fn commands(&self) -> Vec<(u64, &'static str, &str)> {
        let all = self.log.iter().filter_map(|(_, record)| match record {
            Record::DeliveryDecided(one) => Some((one.delivery.position.0, one.command.word(), one.actor.as_str())),
            _ => None,
        });
        all.collect()
    }
}
