//! A real Chromium without a screen, driven over the DevTools protocol: pages as people get them, keys and clicks as they make them, and
//! what the browser complains about.
//!
//! This is a client of that protocol of our own, over a WebSocket, where a driver that others maintain would do. It is so because the
//! tests need some twenty commands and three events of it: the drivers for Rust either bring all of the protocol as generated code and a
//! runtime beside (`chromiumoxide`, `headless_chrome`), for every build of the tests, or a second program that must be of the browser's
//! own version (`fantoccini`, `thirtyfour`: ChromeDriver), and WebDriver tells nothing of what the browser complains about by itself.
//! What is paid for it: a change of the protocol has to be followed here.

use std::{
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use crate::harness::{process::Process, sweeper::Scratch};

const WITHIN: Duration = Duration::from_secs(60);

/// The browser's program, if this machine has one.
pub fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.is_file())
}

/// While a page is left there is nobody to ask: whoever asks just then is told so, in one of these words.
fn is_of_a_page_that_is_left(error: &Value) -> bool {
    let words = [
        "Inspected target navigated or closed",
        "Execution context was destroyed",
        "Cannot find context with specified id",
        "Cannot find default execution context",
    ];
    error["message"].as_str().is_some_and(|message| words.iter().any(|told| message.contains(told)))
}

/// A browser with one page.
pub struct Chromium {
    socket: WebSocket<TcpStream>,
    session: String,
    next: u64,
    events: Vec<Value>,
    process: Process,
    _profile: Scratch,
}

impl Chromium {
    pub fn start(program: &Path) -> Chromium {
        let profile = Scratch::new("chromium");
        let mut command = Command::new(program);
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--remote-debugging-port=0",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        let mut process = Process::spawn("chromium", &mut command, profile.path());
        let deadline = Instant::now() + WITHIN;
        let told = profile.path().join("DevToolsActivePort");
        let (port, path) = loop {
            let text = std::fs::read_to_string(&told).unwrap_or_default();
            if let Some((port, path)) = text.split_once('\n').filter(|(_, path)| path.starts_with('/')) {
                break (port.parse::<u16>().expect("a port"), path.trim().to_owned());
            }
            assert!(process.is_running() && Instant::now() < deadline, "Chromium does not start\n{}", process.story());
            thread::sleep(Duration::from_millis(20));
        };
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("its port");
        stream.set_read_timeout(Some(WITHIN)).expect("a positive time");
        let (socket, _) = tungstenite::client(format!("ws://127.0.0.1:{port}{path}"), stream).expect("its protocol");
        let mut browser =
            Chromium { socket, session: String::new(), next: 0, events: Vec::new(), process, _profile: profile };
        let page = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let session = browser.call("Target.attachToTarget", json!({ "targetId": page["targetId"], "flatten": true }));
        browser.session = session["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Sends a command and returns its result; what happens meanwhile is kept.
    #[track_caller]
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.ask(method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Sends a command and returns its result, or the error that the browser answers with.
    #[track_caller]
    fn ask(&mut self, method: &str, parameters: Value) -> Result<Value, Value> {
        self.next += 1;
        let mut command = json!({ "id": self.next, "method": method, "params": parameters });
        if !self.session.is_empty() {
            command["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(command.to_string())).expect("the browser listens");
        let deadline = Instant::now() + WITHIN;
        loop {
            assert!(Instant::now() < deadline, "no answer to {method}");
            let message =
                self.socket.read().unwrap_or_else(|error| panic!("{method}: {error}\n{}", self.process.story()));
            let Ok(text) = message.to_text() else { continue };
            let Ok(message) = serde_json::from_str::<Value>(text) else { continue };
            if message["id"] == self.next {
                return match message.get("error") {
                    Some(error) => Err(error.clone()),
                    None => Ok(message["result"].clone()),
                };
            }
            self.events.push(message);
        }
    }

    /// Sends what a hand does, which may leave the page before the hand is off.
    #[track_caller]
    fn act(&mut self, method: &str, parameters: Value) {
        if let Err(error) = self.ask(method, parameters) {
            assert!(is_of_a_page_that_is_left(&error), "{method}: {error}");
        }
    }

    /// The value of an expression, of a promise when it has one.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", parameters);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    #[track_caller]
    pub fn text(&mut self, expression: &str) -> String {
        self.value(expression).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn until(&mut self, expression: &str) {
        let deadline = Instant::now() + WITHIN;
        loop {
            let parameters = json!({ "expression": format!("Boolean({expression})"), "returnByValue": true });
            match self.ask("Runtime.evaluate", parameters) {
                Ok(answer) if answer["result"]["value"] == true => return,
                Ok(_) => {}
                Err(error) => assert!(is_of_a_page_that_is_left(&error), "{expression}: {error}"),
            }
            assert!(
                Instant::now() < deadline,
                "{expression} does not come true: {}",
                self.text("document.body.innerText")
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Opens a page and waits until it is there with all that belongs to it.
    #[track_caller]
    pub fn open(&mut self, address: &str) {
        let answer = self.call("Page.navigate", json!({ "url": address }));
        assert!(answer.get("errorText").is_none(), "{address}: {}", answer["errorText"]);
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'");
    }

    /// Clicks in the middle of the first element that a selector finds; a page that it leads to is waited for.
    #[track_caller]
    pub fn click(&mut self, selector: &str) {
        let place = self.value(&format!(
            "(() => {{ const it = document.querySelector({}); if (!it) return null; it.scrollIntoView({{block: 'center'}}); \
             const box = it.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()",
            json!(selector)
        ));
        assert!(place.is_array(), "there is no {selector}: {}", self.text("document.body.innerText"));
        for kind in ["mousePressed", "mouseReleased"] {
            let parameters = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.act("Input.dispatchMouseEvent", parameters);
        }
    }

    /// Marks the page, does something that leads to another one, and waits for that.
    #[track_caller]
    pub fn leaving(&mut self, act: impl FnOnce(&mut Chromium)) {
        self.value("void (window.isLeft = true)");
        act(self);
        self.until("!window.isLeft && document.readyState === 'complete'");
    }

    /// Types into the first element that a selector finds, in place of what is there.
    #[track_caller]
    pub fn write(&mut self, selector: &str, text: &str) {
        let found = self.value(&format!(
            "(() => {{ const it = document.querySelector({}); if (!it) return false; it.focus(); it.select && it.select(); return true; }})()",
            json!(selector)
        ));
        assert_eq!(found, true, "there is no {selector}");
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Presses a key.
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, None),
            "Enter" => (13, Some("\r")),
            other => panic!("{other}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut parameters = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if let Some(text) = text.filter(|_| kind == "keyDown") {
                parameters["text"] = json!(text);
            }
            self.act("Input.dispatchKeyEvent", parameters);
        }
    }

    /// How wide the screen is, and whether its user wants it dark.
    pub fn screen(&mut self, width: u32, is_dark: bool) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", features);
    }

    /// The whole page as a picture.
    pub fn picture(&mut self, file: &Path) {
        let height = self.value("document.documentElement.scrollHeight").as_f64().unwrap_or(900.0).min(8_000.0);
        let width = self.value("document.documentElement.clientWidth");
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let parameters = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.call("Page.captureScreenshot", parameters);
        let bytes = STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base64");
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("folders can be made");
        std::fs::write(file, bytes).expect("a file can be written");
    }

    /// What the browser has complained about since this was asked last: exceptions, errors and warnings of its console, what could not
    /// be loaded.
    pub fn complaints(&mut self) -> Vec<String> {
        // Whatever has happened so far has been told before this answer.
        self.value("1");
        let events = std::mem::take(&mut self.events);
        let complaint = |event: &Value| {
            let parameters = &event["params"];
            match event["method"].as_str()? {
                "Runtime.exceptionThrown" => Some(parameters["exceptionDetails"].to_string()),
                "Runtime.consoleAPICalled"
                    if matches!(parameters["type"].as_str(), Some("error" | "warning" | "assert")) =>
                {
                    Some(parameters["args"].to_string())
                }
                "Log.entryAdded" if matches!(parameters["entry"]["level"].as_str(), Some("error" | "warning")) => {
                    Some(parameters["entry"].to_string())
                }
                _ => None,
            }
        };
        events.iter().filter_map(complaint).collect()
    }
}
