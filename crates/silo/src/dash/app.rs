//! What the dashboard is looking at, and what keys do to that. Pure: it reads no terminal and touches no container.

use silo_types::Signal;

use super::input::Input;

/// What lies below the containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Processes,
    Namespaces,
    Limits,
    Timeline,
    Logs,
}

impl View {
    pub const ALL: [View; 5] = [
        View::Processes,
        View::Namespaces,
        View::Limits,
        View::Timeline,
        View::Logs,
    ];

    pub fn title(self) -> &'static str {
        match self {
            View::Processes => "processes",
            View::Namespaces => "namespaces",
            View::Limits => "limits",
            View::Timeline => "timeline",
            View::Logs => "logs",
        }
    }

    /// Columns of its name in the row of names: number, title, blanks.
    pub fn tab(self) -> usize {
        self.title().len() + 4
    }
}

/// By what containers are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Name,
    Cpu,
    Memory,
    Throttled,
    Processes,
}

impl Sort {
    pub const ALL: [Sort; 5] = [
        Sort::Name,
        Sort::Cpu,
        Sort::Memory,
        Sort::Throttled,
        Sort::Processes,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Sort::Name => "name",
            Sort::Cpu => "cpu",
            Sort::Memory => "memory",
            Sort::Throttled => "throttled",
            Sort::Processes => "processes",
        }
    }
}

/// Which list the arrows move in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    Containers,
    Below,
}

/// What lies over all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    None,
    Help,
    /// The place in [`SIGNALS`].
    Kill(usize),
    /// A filter is being typed.
    Filter,
}

/// Offered for killing: number and what it means.
pub const SIGNALS: [(i32, &str); 8] = [
    (15, "TERM  asks it to end"),
    (9, "KILL  ends it at once"),
    (2, "INT   as Ctrl-C"),
    (
        1,
        "HUP   its terminal has gone; often: read the settings anew",
    ),
    (19, "STOP  freezes it"),
    (18, "CONT  lets it go on"),
    (10, "USR1  its own meaning"),
    (12, "USR2  its own meaning"),
];

/// Spans of the timeline, in minutes: what is recorded finely, and all of it.
pub const SPANS: [(u64, &str); 3] = [(10, "10 min"), (120, "2 h"), (1440, "1 day")];

/// What has to be done outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Quit,
    /// Send it to what is chosen.
    Signal(Signal),
    /// A tenth more of the chosen limit, or less.
    Change {
        more: bool,
    },
    /// Take the last change back.
    Undo,
}

/// Where things were drawn, for clicks: first row and number of rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Places {
    pub containers: (u16, u16),
    pub below: (u16, u16),
    /// The row with the names of the views.
    pub tabs: u16,
    pub page: usize,
}

/// The state of the picture.
#[derive(Debug)]
pub struct App {
    pub view: View,
    pub sort: Sort,
    pub reversed: bool,
    pub filter: String,
    pub focus: Focus,
    pub over: Over,
    /// Chosen container: place in what is shown.
    pub container: usize,
    /// Chosen line of the list below.
    pub line: usize,
    /// How many there are, as last drawn.
    pub containers: usize,
    pub lines: usize,
    /// Moments back from the newest in the timeline, in columns.
    pub back: usize,
    /// How much of the recording the timeline shows: the place in [`SPANS`].
    pub span: usize,
    /// Processes of the whole host, not of the chosen container alone.
    pub everywhere: bool,
    /// What happened last in place of what is used, where there is no room for both.
    pub events: bool,
    pub message: String,
    pub places: Places,
}

impl App {
    pub fn new() -> App {
        App {
            view: View::Processes,
            sort: Sort::Cpu,
            reversed: false,
            filter: String::new(),
            focus: Focus::Containers,
            over: Over::None,
            container: 0,
            line: 0,
            containers: 0,
            lines: 0,
            back: 0,
            span: 0,
            everywhere: false,
            events: false,
            message: String::new(),
            places: Places::default(),
        }
    }

    pub fn handle(&mut self, input: Input) -> Option<Action> {
        self.message.clear();
        match self.over.clone() {
            Over::None => self.watching(input),
            Over::Help => {
                self.over = Over::None;
                None
            }
            Over::Kill(at) => self.killing(at, input),
            Over::Filter => {
                self.filtering(input);
                None
            }
        }
    }

    fn watching(&mut self, input: Input) -> Option<Action> {
        match input {
            Input::Key('q') => return Some(Action::Quit),
            Input::Key('?' | 'h') => self.over = Over::Help,
            Input::Key('k') if self.containers > 0 => self.over = Over::Kill(0),
            Input::Key('/') => self.over = Over::Filter,
            Input::Escape => self.filter.clear(),
            Input::Key('s') => self.sort = following(&Sort::ALL, self.sort),
            Input::Key('e') => self.events = !self.events,
            Input::Key('a') if self.view == View::Processes => {
                self.everywhere = !self.everywhere;
                self.line = 0;
            }
            Input::Key('z') if self.view == View::Timeline => {
                self.span = (self.span + 1) % SPANS.len();
                self.back = 0;
            }
            Input::Key('r') => self.reversed = !self.reversed,
            Input::Key(key @ ('+' | '=' | '-')) if self.view == View::Limits => {
                return Some(Action::Change { more: key != '-' });
            }
            Input::Key('u') => return Some(Action::Undo),
            Input::Key(digit @ '1'..='5') => self.look_at(View::ALL[digit as usize - '1' as usize]),
            Input::Key('v') => self.look_at(following(&View::ALL, self.view)),
            Input::Tab => {
                self.focus = match self.focus {
                    Focus::Containers => Focus::Below,
                    Focus::Below => Focus::Containers,
                }
            }
            Input::Enter => self.focus = Focus::Below,
            Input::Left if self.view == View::Timeline => self.back += 1,
            Input::Right if self.view == View::Timeline => self.back = self.back.saturating_sub(1),
            Input::Up | Input::WheelUp => self.step(-1),
            Input::Down | Input::WheelDown => self.step(1),
            Input::PageUp => self.step(-(self.places.page.max(1) as isize)),
            Input::PageDown => self.step(self.places.page.max(1) as isize),
            Input::Home => self.step(isize::MIN),
            Input::End => self.step(isize::MAX),
            Input::Click(column, row) => self.click(column, row),
            _ => {}
        }
        None
    }

    fn look_at(&mut self, view: View) {
        self.view = view;
        self.line = 0;
        self.back = 0;
    }

    fn step(&mut self, by: isize) {
        let (place, count) = match self.focus {
            Focus::Containers => (&mut self.container, self.containers),
            Focus::Below => (&mut self.line, self.lines),
        };
        *place = place.saturating_add_signed(by).min(count.saturating_sub(1));
        if self.focus == Focus::Containers {
            self.line = 0;
            self.back = 0;
        }
    }

    fn click(&mut self, column: u16, row: u16) {
        let inside = |(first, count): (u16, u16)| {
            (first..first.saturating_add(count))
                .contains(&row)
                .then(|| usize::from(row - first))
        };
        if row == self.places.tabs {
            let mut end = 0;
            let hit = View::ALL.into_iter().find(|view| {
                end += view.tab();
                usize::from(column) < end
            });
            if let Some(view) = hit {
                self.look_at(view);
            }
        } else if let Some(at) = inside(self.places.containers) {
            self.focus = Focus::Containers;
            self.container = at.min(self.containers.saturating_sub(1));
            self.line = 0;
        } else if let Some(at) = inside(self.places.below) {
            self.focus = Focus::Below;
            self.line = at.min(self.lines.saturating_sub(1));
        }
    }

    fn killing(&mut self, at: usize, input: Input) -> Option<Action> {
        self.over = Over::Kill(at);
        match input {
            Input::Up | Input::WheelUp => self.over = Over::Kill(at.saturating_sub(1)),
            Input::Down | Input::WheelDown => {
                self.over = Over::Kill((at + 1).min(SIGNALS.len() - 1));
            }
            Input::Enter => {
                self.over = Over::None;
                return Signal::from_number(SIGNALS[at].0).ok().map(Action::Signal);
            }
            Input::Escape | Input::Key('q') => self.over = Over::None,
            _ => {}
        }
        None
    }

    fn filtering(&mut self, input: Input) {
        match input {
            Input::Key(letter) => self.filter.push(letter),
            Input::Backspace => drop(self.filter.pop()),
            Input::Enter => self.over = Over::None,
            Input::Escape => {
                self.filter.clear();
                self.over = Over::None;
            }
            _ => {}
        }
        self.container = 0;
    }

    /// What was drawn: choices stay inside of it.
    pub fn drawn(&mut self, containers: usize, lines: usize) {
        self.containers = containers;
        self.lines = lines;
        self.container = self.container.min(containers.saturating_sub(1));
        self.line = self.line.min(lines.saturating_sub(1));
    }
}

fn following<T: Copy + PartialEq>(all: &[T], one: T) -> T {
    let at = all.iter().position(|other| *other == one).unwrap_or(0);
    all[(at + 1) % all.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn app() -> App {
        let mut app = App::new();
        app.drawn(5, 3);
        app.places.containers = (4, 5);
        app.places.below = (12, 3);
        app.places.tabs = 11;
        app
    }

    #[test]
    fn choices_move_and_stay_inside() {
        let mut app = app();
        for _ in 0..9 {
            app.handle(Input::Down);
        }
        assert_eq!(app.container, 4);
        app.handle(Input::Tab);
        app.handle(Input::End);
        assert_eq!((app.container, app.line), (4, 2));
        app.handle(Input::Home);
        assert_eq!(app.line, 0);
        app.handle(Input::Click(3, 6));
        assert_eq!((app.focus, app.container), (Focus::Containers, 2));
        app.handle(Input::Click(20, 11));
        assert_eq!(app.view, View::Namespaces);
        app.drawn(1, 0);
        assert_eq!((app.container, app.line), (0, 0));
    }

    #[test]
    fn a_signal_is_chosen_and_confirmed() {
        let mut app = app();
        assert_eq!(app.handle(Input::Key('k')), None);
        app.handle(Input::Down);
        assert_eq!(app.over, Over::Kill(1));
        assert_eq!(app.handle(Input::Enter), Some(Action::Signal(Signal::KILL)));
        app.handle(Input::Key('k'));
        assert_eq!(app.handle(Input::Escape), None);
        assert_eq!(app.over, Over::None);
        app.look_at(View::Limits);
        let more = app.handle(Input::Key('+'));
        assert_eq!(more, Some(Action::Change { more: true }));
        assert_eq!(app.handle(Input::Key('u')), Some(Action::Undo));
        // Nothing to kill: no menu.
        app.drawn(0, 0);
        app.handle(Input::Key('k'));
        assert_eq!(app.over, Over::None);
    }

    #[test]
    fn a_filter_takes_letters_that_are_keys_elsewhere() {
        let mut app = app();
        app.handle(Input::Key('/'));
        for letter in "qks".chars() {
            assert_eq!(app.handle(Input::Key(letter)), None);
        }
        app.handle(Input::Backspace);
        app.handle(Input::Enter);
        assert_eq!((app.filter.as_str(), app.over.clone()), ("qk", Over::None));
        app.handle(Input::Escape);
        assert_eq!(app.filter, "");
        assert_eq!(app.handle(Input::Key('q')), Some(Action::Quit));
    }

    proptest! {
        #[test]
        fn any_keys_keep_it_whole(keys in prop::collection::vec((0..14u8, any::<char>(), 0..90u16, 0..40u16), 0..60)) {
            let mut app = app();
            for (kind, letter, x, y) in keys {
                let input = match kind {
                    0 => Input::Up,
                    1 => Input::Down,
                    2 => Input::PageUp,
                    3 => Input::PageDown,
                    4 => Input::Home,
                    5 => Input::End,
                    6 => Input::Tab,
                    7 => Input::Enter,
                    8 => Input::Escape,
                    9 => Input::Click(x, y),
                    10 => Input::Left,
                    11 => Input::Right,
                    _ => Input::Key(letter),
                };
                let _ = app.handle(input);
                prop_assert!(app.container < 5 && app.line < 3);
            }
        }
    }
}
