//! What viewers do.

/// Types of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// An item was shown.
    Impression,
    /// The page was scrolled to a depth.
    Scroll,
    /// An item was pointed at.
    Hover,
    /// An item was chosen.
    Click,
    /// An item was kept for later.
    AddToList,
    /// An item was sent away.
    NotInterested,
    /// The player starts or goes on.
    Play,
    /// The player reports.
    Progress,
    /// The player is stopped for a while.
    Pause,
    /// The playhead was moved.
    Seek,
    /// The player has no data.
    BufferStart,
    /// The player has data again.
    BufferEnd,
    /// The player fetches another bitrate.
    QualityChange,
    /// The player is closed.
    Stop,
    /// The player failed.
    Error,
}

impl Kind {
    /// All, in the order of their numbers.
    pub const ALL: [Kind; 15] = [
        Kind::Impression,
        Kind::Scroll,
        Kind::Hover,
        Kind::Click,
        Kind::AddToList,
        Kind::NotInterested,
        Kind::Play,
        Kind::Progress,
        Kind::Pause,
        Kind::Seek,
        Kind::BufferStart,
        Kind::BufferEnd,
        Kind::QualityChange,
        Kind::Stop,
        Kind::Error,
    ];

    /// As it is sent.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Impression => "impression",
            Kind::Scroll => "scroll",
            Kind::Hover => "hover",
            Kind::Click => "click",
            Kind::AddToList => "add_to_list",
            Kind::NotInterested => "not_interested",
            Kind::Play => "play",
            Kind::Progress => "progress",
            Kind::Pause => "pause",
            Kind::Seek => "seek",
            Kind::BufferStart => "buffer_start",
            Kind::BufferEnd => "buffer_end",
            Kind::QualityChange => "quality_change",
            Kind::Stop => "stop",
            Kind::Error => "error",
        }
    }

    /// True for what the player does, which it can report by itself.
    pub fn is_of_player(self) -> bool {
        self >= Kind::Play
    }
}

/// One thing that a viewer does.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    /// Who.
    pub viewer: u32,
    /// In which of their sessions, from 1.
    pub visit: u32,
    /// What.
    pub kind: Kind,
    /// With which item.
    pub item: Option<u32>,
    /// Where on the page.
    pub position: Option<u16>,
    /// How far down the page, percent.
    pub depth: Option<u8>,
    /// Where in the item, and how long it is.
    pub playhead: Option<(u32, u32)>,
    /// Throughput and round trip.
    pub network: Option<(u32, u16)>,
    /// Bitrate being fetched.
    pub bitrate_kbps: Option<u32>,
    /// The decision it follows from.
    pub decision: Option<u64>,
}

impl Act {
    /// An act of which nothing else is known.
    pub fn new(viewer: u32, visit: u32, kind: Kind) -> Act {
        Act {
            viewer,
            visit,
            kind,
            item: None,
            position: None,
            depth: None,
            playhead: None,
            network: None,
            bitrate_kbps: None,
            decision: None,
        }
    }
}

/// What comes out of a population.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// An event.
    Act(Act),
    /// A question: which of these? The candidates are [`Questions::candidates`](super::Questions::candidates).
    Ask(Ask),
    /// What a decision was worth.
    Reward(Reward),
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ask {
    /// Number of the decision.
    pub decision: u64,
    /// For whom.
    pub viewer: u32,
    /// In which session.
    pub visit: u32,
    /// Where the question is kept until the viewer looks.
    pub slot: u32,
}

/// What a decision was worth, told by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reward {
    /// Which decision.
    pub decision: u64,
    /// Which of its positions.
    pub position: u16,
    /// How much.
    pub value: f64,
}
