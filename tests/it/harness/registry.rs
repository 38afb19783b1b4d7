//! A real schema registry: started, stopped and started again on the same data and port.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{kafka::free_port, process::Process, sweeper::Scratch};

const START_WITHIN: Duration = Duration::from_secs(120);
const STOP_WITHIN: Duration = Duration::from_secs(30);
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// A registry with the API of Confluent's, which checks that versions are backward compatible.
pub struct Registry {
    port: u16,
    scratch: Scratch,
    process: Option<Process>,
}

impl Registry {
    /// Starts one without any schema.
    pub fn start() -> Registry {
        let mut registry = Registry { port: free_port(), scratch: Scratch::new("registry"), process: None };
        registry.start_again();
        // The check is on already; this makes the registry say so.
        registry.post("PUT", "/config", &json!({"compatibility": "BACKWARD"}));
        registry
    }

    /// What clients are given.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
    }

    /// Ends it; its data stays. Not by a kill: what its database took last would be lost, and a registry that forgets is
    /// another matter than one that is away.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.terminate(STOP_WITHIN);
        }
    }

    /// Starts it where it was.
    pub fn start_again(&mut self) {
        let jar = jar();
        let mut command = Command::new("java");
        command
            .current_dir(self.scratch.path())
            .env("REGISTRY_DATASOURCE_URL", format!("jdbc:h2:file:{}", self.scratch.path().join("data").display()))
            .args(["-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dquarkus.http.host=127.0.0.1"])
            .arg(format!("-Dquarkus.http.port={}", self.port))
            .args(["-Dregistry.rules.global.compatibility=BACKWARD", "-jar"])
            .arg(&jar);
        let mut process = Process::spawn("registry", &mut command, self.scratch.path());
        let begin = Instant::now();
        let ready = format!("http://127.0.0.1:{}/health/ready", self.port);
        while ureq::get(&ready).call().is_err() {
            assert!(process.is_running(), "the registry has ended\n{}", process.story());
            assert!(begin.elapsed() < START_WITHIN, "the registry does not answer\n{}", process.story());
            std::thread::sleep(Duration::from_millis(100));
        }
        self.process = Some(process);
    }

    /// Registers a schema; returns its id.
    #[track_caller]
    pub fn register(&self, subject: &str, schema: &str) -> u32 {
        let answer = self.post("POST", &format!("/subjects/{subject}/versions"), &json!({"schema": schema}));
        answer["id"].as_u64().and_then(|id| u32::try_from(id).ok()).unwrap_or_else(|| panic!("{answer}"))
    }

    /// The text of a schema.
    #[track_caller]
    pub fn schema(&self, id: u32) -> String {
        let mut answer = ureq::get(format!("{}/schemas/ids/{id}", self.url())).call().expect("the registry answers");
        let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        answer["schema"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    #[track_caller]
    fn post(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.url());
        let request = if method == "PUT" { ureq::put(url) } else { ureq::post(url) };
        let mut answer =
            request.header("content-type", CONTENT_TYPE).send(body.to_string()).expect("the registry takes it");
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    }
}

/// The program, which `tests/run` fetches.
fn jar() -> PathBuf {
    let folder = std::env::var_os("INSIGHT_HUB_TEST_REGISTRY")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-cache/registry/app"), PathBuf::from);
    let found = std::fs::read_dir(&folder).ok().and_then(|files| {
        files.flatten().map(|file| file.path()).find(|path| path.to_string_lossy().ends_with("-runner.jar"))
    });
    found.unwrap_or_else(|| {
        panic!(
            "there is no schema registry in {}: run `tests/run` once, which fetches it (or set INSIGHT_HUB_TEST_REGISTRY)",
            folder.display()
        )
    })
}
