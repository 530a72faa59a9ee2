//! What takes time, on two threads of its own: one looks, one acts. Each has its own engine, takes jobs in order and answers over
//! the channel; a byte in a socket wakes the loop.
//!
//! An act may have to wait for a container's monitor. The thread that looks never does, so the picture goes on meanwhile.

use std::{
    io::Write,
    os::unix::net::UnixStream,
    sync::mpsc::{Receiver, Sender},
    thread::Builder,
};

use silo_engine::Engine;
use silo_types::{Doing, Result};

use super::{
    act,
    http::{self, Refused},
    past,
    picture::Picture,
    routes::{Deed, Question, Wish},
};

pub enum Job {
    /// Of each page: its number, what it wants to see, whether it is its first message.
    Live(Vec<(u64, Wish, bool)>),
    Ask(u64, Question),
    Do(u64, Deed),
}

pub enum Reply {
    /// A whole answer.
    Answer(u64, Vec<u8>),
    /// One message of a live page.
    Told(u64, Vec<u8>),
    /// All live pages have theirs.
    Looked,
}

pub struct Worker {
    engine: Engine,
    control: bool,
    replies: Sender<Reply>,
    waker: UnixStream,
}

impl Worker {
    /// Ends with the sender of its jobs.
    pub fn start(
        name: &str,
        engine: Engine,
        control: bool,
        jobs: Receiver<Job>,
        replies: Sender<Reply>,
        waker: UnixStream,
    ) -> Result<()> {
        let worker = Worker {
            engine,
            control,
            replies,
            waker,
        };
        let thread = Builder::new().name(name.to_owned());
        thread
            .spawn(move || worker.work(&jobs))
            .doing("start a thread")?;
        Ok(())
    }

    fn work(&self, jobs: &Receiver<Job>) {
        let mut picture = None;
        for job in jobs {
            match job {
                Job::Live(wishes) => {
                    let made = match picture.take() {
                        Some(picture) => Ok(picture),
                        None => Picture::new(&self.engine, self.control),
                    };
                    self.look(made, wishes, &mut picture);
                    self.reply(Reply::Looked);
                }
                Job::Ask(id, question) => {
                    let found = past::answer(&self.engine, &question);
                    self.reply(Reply::Answer(id, response(found)));
                }
                Job::Do(id, deed) => {
                    let done = act::perform(&self.engine, &deed);
                    self.reply(Reply::Answer(id, response(done)));
                }
            }
        }
    }

    fn look<'a>(
        &'a self,
        made: Result<Picture<'a>>,
        wishes: Vec<(u64, Wish, bool)>,
        kept: &mut Option<Picture<'a>>,
    ) {
        let gathered = made.and_then(|mut picture| picture.gather().map(|()| picture));
        match gathered {
            Ok(mut picture) => {
                for (id, wish, is_first) in wishes {
                    let message = picture.message(&wish, is_first);
                    self.reply(Reply::Told(id, http::message(&message)));
                }
                *kept = Some(picture);
            }
            Err(error) => {
                let text = serde_json::json!({"error": error.to_string()});
                for (id, _, _) in wishes {
                    self.reply(Reply::Told(id, http::message(&text)));
                }
            }
        }
    }

    fn reply(&self, reply: Reply) {
        let _ = self.replies.send(reply);
        // Full: it is awake already.
        let _ = (&self.waker).write(&[1]);
    }
}

fn response(result: Result<serde_json::Value>) -> Vec<u8> {
    match result {
        Ok(document) => http::json(200, &document),
        Err(error) => http::refusal(&Refused::new(error.kind().http_status(), error.to_string())),
    }
}
