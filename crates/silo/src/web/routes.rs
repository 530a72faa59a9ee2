//! From a request to what is to be done for it. Pure.

use serde::Deserialize;

use super::{
    assets::{self, Asset},
    guard::{self, Token},
    http::{Method, Refused, Request},
};

/// What lies below the containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    Processes,
    /// Of the whole host.
    Host,
    Namespaces,
    Limits,
    Timeline,
    Logs,
}

impl View {
    fn parse(text: &str) -> Result<View, Refused> {
        Ok(match text {
            "processes" => View::Processes,
            "host" => View::Host,
            "namespaces" => View::Namespaces,
            "limits" => View::Limits,
            "timeline" => View::Timeline,
            "logs" => View::Logs,
            _ => return Err(Refused::new(400, "no such view")),
        })
    }
}

/// What a page wants to be told every second.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wish {
    pub view: View,
    /// Empty: none is chosen.
    pub container: String,
}

/// A question about what is recorded. Times are milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    Timeline {
        container: String,
        /// So far back.
        span: u64,
        until: Option<u64>,
        columns: usize,
    },
    /// All containers at one moment.
    At { time: u64 },
    Logs {
        container: String,
        until: Option<u64>,
    },
}

/// Limits as a page asks for them; what is not named stays.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub container: String,
    /// Bytes; -1: none.
    pub memory: Option<i64>,
    /// Thousandths of a processor; -1: no limit.
    pub cpu: Option<i64>,
    /// -1: no limit.
    pub pids: Option<i64>,
    /// Also when processes are killed for it.
    #[serde(default)]
    pub force: bool,
}

/// To a container, or to one process of it: its number on the host and its start, so that it is never a later one.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kill {
    pub container: String,
    pub signal: i32,
    pub pid: Option<i32>,
    pub start: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Undo {
    pub container: String,
}

/// What changes something, and the look ahead at it: these ask a container's monitor, or take their time.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    Preview(Limits),
    Limit(Limits),
    Undo(Undo),
    Kill(Kill),
}

#[derive(Debug)]
pub enum Route {
    Asset(&'static Asset),
    Live(Wish),
    Ask(Question),
    Do(Deed),
}

/// Columns of a curve, at most: more than a screen has.
const MOST_COLUMNS: usize = 2000;

const DAY: u64 = 24 * 3600 * 1000;

pub fn route(request: &Request, token: &Token, control: bool) -> Result<Route, Refused> {
    guard::check_host(request)?;
    let missing = || Refused::new(404, "there is nothing here");
    let Some(name) = request.path.strip_prefix("/api/") else {
        let asset = assets::find(&request.path).ok_or_else(missing)?;
        return match request.method {
            Method::Get => Ok(Route::Asset(asset)),
            Method::Post => Err(Refused::new(405, "a page is read with GET")),
        };
    };
    guard::check_caller(request, token)?;
    match (request.method, name) {
        (Method::Get, "live") => live(request).map(Route::Live),
        (Method::Get, "timeline" | "at" | "logs") => question(request, name).map(Route::Ask),
        (Method::Get, "preview") => preview(request).map(Route::Do),
        (Method::Post, "limit" | "undo" | "kill") if !control => Err(Refused::new(
            403,
            "this page only looks: start it with 'silo web --control' to change something",
        )),
        (Method::Post, "limit") => body(request).map(|asked| Route::Do(Deed::Limit(asked))),
        (Method::Post, "undo") => body(request).map(|asked| Route::Do(Deed::Undo(asked))),
        (Method::Post, "kill") => body(request).map(|asked| Route::Do(Deed::Kill(asked))),
        (_, "live" | "timeline" | "at" | "logs" | "preview" | "limit" | "undo" | "kill") => {
            Err(Refused::new(405, "looking is GET, changing is POST"))
        }
        _ => Err(missing()),
    }
}

fn live(request: &Request) -> Result<Wish, Refused> {
    Ok(Wish {
        view: View::parse(request.asked("view").unwrap_or("processes"))?,
        container: request.asked("c").unwrap_or_default().to_owned(),
    })
}

fn question(request: &Request, name: &str) -> Result<Question, Refused> {
    let container = || match request.asked("c") {
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(Refused::new(400, "which container? name it as c")),
    };
    Ok(match name {
        "timeline" => Question::Timeline {
            container: container()?,
            span: number(request, "span")?.unwrap_or(600_000).clamp(1000, DAY),
            until: number(request, "until")?,
            columns: number(request, "columns")?
                .unwrap_or(300)
                .clamp(10, MOST_COLUMNS),
        },
        "at" => Question::At {
            time: number(request, "time")?
                .ok_or_else(|| Refused::new(400, "which moment? give its time"))?,
        },
        _ => Question::Logs {
            container: container()?,
            until: number(request, "until")?,
        },
    })
}

fn preview(request: &Request) -> Result<Deed, Refused> {
    Ok(Deed::Preview(Limits {
        container: request.asked("c").unwrap_or_default().to_owned(),
        memory: number(request, "memory")?,
        cpu: number(request, "cpu")?,
        pids: number(request, "pids")?,
        force: false,
    }))
}

fn number<T: std::str::FromStr>(request: &Request, name: &str) -> Result<Option<T>, Refused> {
    let parse = |text: &str| {
        let wrong = |_| Refused::new(400, format!("{name} is no number"));
        text.parse().map_err(wrong)
    };
    request.asked(name).map(parse).transpose()
}

fn body<'a, T: Deserialize<'a>>(request: &'a Request) -> Result<T, Refused> {
    serde_json::from_slice(&request.body)
        .map_err(|error| Refused::new(400, format!("the request has an unknown form: {error}")))
}

#[cfg(test)]
mod tests {
    use super::{super::http::parse, *};

    fn ask(
        method: &str,
        path: &str,
        token: &Token,
        body: &str,
        control: bool,
    ) -> Result<Route, u16> {
        let kind = match method {
            "GET" => String::new(),
            _ => format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            ),
        };
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n{kind}\r\n{body}",
            token.text()
        );
        let request = parse(text.as_bytes()).unwrap().unwrap();
        route(&request, token, control).map_err(|refused| refused.status)
    }

    #[test]
    fn ways() {
        let token = Token::new().unwrap();
        let get = |path: &str| ask("GET", path, &token, "", false);
        assert!(matches!(get("/"), Ok(Route::Asset(_))));
        let Ok(Route::Live(wish)) = get("/api/live?view=logs&c=box") else {
            panic!("no stream");
        };
        assert_eq!((wish.view, wish.container.as_str()), (View::Logs, "box"));
        let Ok(Route::Ask(Question::Timeline { columns, span, .. })) =
            get("/api/timeline?c=box&columns=99999&span=5")
        else {
            panic!("no timeline");
        };
        assert_eq!((columns, span), (MOST_COLUMNS, 1000));
        for (path, status) in [
            ("/api/live?view=x", 400),
            ("/api/timeline", 400),
            ("/api/at", 400),
            ("/api/at?time=x", 400),
            ("/api/kill", 405),
            ("/api/x", 404),
            ("/x", 404),
        ] {
            assert_eq!(get(path).err(), Some(status), "{path}");
        }
    }

    #[test]
    fn only_with_control_something_is_changed() {
        let token = Token::new().unwrap();
        let post = |path: &str, body: &str, control| ask("POST", path, &token, body, control);
        let kill = r#"{"container":"box","signal":9,"pid":7,"start":5}"#;
        for path in ["/api/kill", "/api/limit", "/api/undo"] {
            assert_eq!(post(path, kill, false).err(), Some(403), "{path}");
        }
        let Ok(Route::Do(Deed::Kill(kill))) = post("/api/kill", kill, true) else {
            panic!("not killed");
        };
        assert_eq!((kill.pid, kill.start, kill.signal), (Some(7), Some(5), 9));
        for (path, body) in [
            ("/api/kill", "{}"),
            ("/api/kill", ""),
            ("/api/kill", r#"{"container":"box","signal":"9"}"#),
            ("/api/limit", r#"{"container":"box","cpus":1}"#),
        ] {
            assert_eq!(post(path, body, true).err(), Some(400), "{path} {body}");
        }
        assert_eq!(post("/api/live", "{}", true).err(), Some(405));
        assert_eq!(post("/", "{}", true).err(), Some(405));
    }
}
