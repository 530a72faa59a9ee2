//! Chromium without a window, driven over two pipes by its DevTools protocol: a JSON object each way, ended by a zero byte.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::common::{Host, soon};

pub struct Browser {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    session: String,
    last: u64,
    /// What the page complained of, and what it asked for.
    pub complaints: Vec<String>,
    pub requests: Vec<String>,
}

/// In the order in which they are looked for.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// The pipes are descriptors 3 and 4 there (`--remote-debugging-pipe`).
const START: &str = "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";

impl Browser {
    /// `None`, and said so, where there is no Chromium.
    pub fn start(host: &Host) -> Option<Browser> {
        let installed = |name: &&str| {
            let path = std::env::var("PATH").unwrap_or_default();
            let mut folders = path.split(':');
            folders.any(|folder| std::path::Path::new(folder).join(name).exists())
        };
        let Some(name) = NAMES.iter().find(|name| installed(name)) else {
            println!("skipped: chromium is missing: the page was not looked at in a browser");
            return None;
        };
        let mut child = Command::new("sh")
            .args(["-c", START, "sh", name])
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
            ])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--disable-sync",
            ])
            .args(["--disable-component-update", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", host.folder("browser")))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut browser = Browser {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            session: String::new(),
            last: 0,
            complaints: Vec::new(),
            requests: Vec::new(),
        };
        let targets = browser.call("Target.getTargets", json!({}));
        let all = targets["targetInfos"].as_array().unwrap();
        let page = all.iter().find(|target| target["type"] == "page").unwrap();
        let words = json!({"targetId": page["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", words);
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.size(1440, 900);
        Some(browser)
    }

    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.input
            .write_all(message.to_string().as_bytes())
            .unwrap();
        self.input.write_all(&[0]).unwrap();
        loop {
            let mut bytes = Vec::new();
            self.output.read_until(0, &mut bytes).unwrap();
            assert_eq!(bytes.pop(), Some(0), "chromium has ended");
            let said: Value = serde_json::from_slice(&bytes).unwrap();
            if said["id"] == self.last {
                assert!(said.get("error").is_none(), "{method}: {said}");
                return said["result"].clone();
            }
            self.note(&said);
        }
    }

    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(params.to_string()),
            Some("Log.entryAdded") => self.complaints.push(params["entry"].to_string()),
            Some("Network.requestWillBeSent") => {
                let url = params["request"]["url"].as_str().unwrap_or_default();
                self.requests.push(url.to_owned());
            }
            _ => {}
        }
    }

    pub fn size(&mut self, width: u32, height: u32) {
        let words =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", words);
    }

    pub fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({"url": url}));
    }

    /// What an expression is worth in the page.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let words = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.call("Runtime.evaluate", words);
        let thrown = result.get("exceptionDetails");
        assert!(thrown.is_none(), "{expression}: {}", thrown.unwrap());
        result["result"]["value"].clone()
    }

    /// Waits until an expression is worth something; its value.
    #[track_caller]
    pub fn until(&mut self, what: &str, expression: &str) -> Value {
        let end = Instant::now() + soon();
        let guarded =
            format!("(() => {{ try {{ return {expression}; }} catch {{ return null; }} }})()");
        loop {
            let value = self.value(&guarded);
            let is_there =
                !matches!(&value, Value::Null | Value::Bool(false)) && value != "" && value != 0;
            if is_there {
                return value;
            }
            let page = if Instant::now() < end {
                Value::Null
            } else {
                self.value("document.body.innerText")
            };
            assert!(
                Instant::now() < end,
                "{what} is not in the page:\n{}",
                page.as_str().unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    #[track_caller]
    pub fn click(&mut self, selector: &str) {
        let what = format!("{selector} to click");
        self.until(
            &what,
            &format!("document.querySelector({selector:?})?.getClientRects().length > 0"),
        );
        self.value(&format!("document.querySelector({selector:?}).click()"));
    }

    /// A key as a person presses it, with its letter if it has one.
    pub fn key(&mut self, key: &str) {
        self.key_with(key, 0);
    }

    /// The same with keys held down: 8 is Shift.
    pub fn key_with(&mut self, key: &str, held: u32) {
        let mut down = json!({"type": "keyDown", "key": key, "modifiers": held});
        match key {
            "Enter" => down["text"] = "\r".into(),
            _ if key.len() == 1 => down["text"] = key.into(),
            _ => {}
        }
        let code = match key {
            "ArrowDown" => 40,
            "ArrowUp" => 38,
            "ArrowLeft" => 37,
            "ArrowRight" => 39,
            "Escape" => 27,
            "Tab" => 9,
            "Enter" => 13,
            "Home" => 36,
            "End" => 35,
            "PageDown" => 34,
            _ => 0,
        };
        down["windowsVirtualKeyCode"] = code.into();
        self.call("Input.dispatchKeyEvent", down);
        self.call(
            "Input.dispatchKeyEvent",
            json!({"type": "keyUp", "key": key}),
        );
    }

    pub fn text(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Nothing was complained of, and nothing was asked of anybody else.
    #[track_caller]
    pub fn is_content(&mut self, url: &str) {
        self.value("0");
        assert!(self.complaints.is_empty(), "{:#?}", self.complaints);
        let own = url.split("/#").next().unwrap();
        let strange = self.requests.iter().filter(|asked| !asked.starts_with(own));
        let strange: Vec<_> = strange.filter(|asked| *asked != "about:blank").collect();
        assert!(strange.is_empty(), "{strange:?}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let close = json!({"id": 0, "method": "Browser.close"}).to_string();
        let _ = self.input.write_all(close.as_bytes());
        let _ = self.input.write_all(&[0]);
        let end = Instant::now() + soon();
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
