//! Starting and stopping.

use crate::app::{App, Shared};
use crate::auth::{Sessions, Throttle};
use crate::broker::{self, Doorbell};
use crate::config::ServerConfig;
use crate::device::Guard;
use crate::metrics::Metrics;
use crate::mint::Minter;
use crate::registry::Registry;
use crate::{ServerError, executor, files, listen, routes, tls};
use sanderling_store::{Change, SqliteOptions, SqliteStore, Store};
use sanderling_wire::MqttEndpoint;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Seconds between two rounds of housekeeping.
const ROUNDS: Duration = Duration::from_secs(60);
/// Seconds between two warnings of what expires.
const WARN_S: u64 = 86_400;
/// The database in the data folder.
const DATABASE: &str = "fleet.db";
/// Seconds that kept answers are kept.
const REPLIES_S: u64 = 86_400;

/// The way to a [`RunningServer`].
#[derive(Debug)]
pub struct Server;

/// A server at work. Dropped without [`RunningServer::stop`], its tasks end at the next turn.
pub struct RunningServer {
    app: Shared,
    http: SocketAddr,
    mqtt: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    /// Held for as long as the data folder is in use.
    _lock: File,
}

impl std::fmt::Debug for RunningServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningServer")
            .field("url", &self.app.url)
            .finish_non_exhaustive()
    }
}

/// A server with a runtime of its own, for callers that have none.
#[derive(Debug)]
pub struct BlockingServer {
    running: RunningServer,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    /// Starts a server in the tokio runtime of the caller. It answers from the moment this returns.
    ///
    /// # Errors
    /// [`ServerError`], which says what to do.
    pub async fn start(config: ServerConfig) -> Result<RunningServer, ServerError> {
        config.check()?;
        let acceptor = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let authority = config.tls.as_ref().map(tls::authority).transpose()?.flatten();
        let (http_listener, http) = bind(config.http).await?;
        let (mqtt_listener, mqtt) = match config.mqtt {
            Some(address) => {
                let (listener, address) = bind(address).await?;
                (Some(listener), Some(address))
            }
            None => (None, None),
        };
        let lock = prepare(&config.data)?;
        let database = config.data.join(DATABASE);
        check_whole(&config.data, database.exists())?;
        let (url, hosts) = names(&config, http)?;
        let endpoint = mqtt.map(|address| MqttEndpoint {
            host: host_of(&url, address),
            port: address.port(),
            tls: acceptor.is_some(),
        });
        let mut options = SqliteOptions::new(&database);
        options.gather = config.timing.gather();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).await?);
        let registry = match take_up(&config, &*store).await {
            Ok(registry) => registry,
            Err(error) => {
                store.close().await?;
                return Err(error);
            }
        };
        let (stop, stopping) = watch::channel(false);
        let app = Arc::new(App {
            minter: Minter::new(config.trust.director.clone(), config.timing.director_validity_s),
            registry,
            store,
            guard: Guard::default(),
            sessions: Sessions::default(),
            throttle: Throttle::default(),
            enrolments: Throttle::default(),
            doorbell: Doorbell::default(),
            metrics: Metrics::new(),
            operations: Arc::default(),
            look: Notify::new(),
            stop: stopping,
            url,
            hosts,
            mqtt: endpoint,
            authority,
            config,
        });
        warn_of_expiries(&app);
        let tasks = spawn(&app, http_listener, mqtt_listener, acceptor);
        tracing::info!(url = app.url, ?mqtt, data = %app.config.data.display(), "the fleet server is ready");
        Ok(RunningServer {
            app,
            http,
            mqtt,
            stop,
            tasks,
            _lock: lock,
        })
    }

    /// Starts a server with a runtime of its own.
    ///
    /// # Errors
    /// As [`Server::start`], and [`ServerError::System`] where no threads can be had.
    pub fn start_blocking(config: ServerConfig) -> Result<BlockingServer, ServerError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("sanderling-server")
            .build()
            .map_err(|error| ServerError::System {
                during: "starting threads",
                reason: error.to_string(),
            })?;
        let running = runtime.block_on(Self::start(config))?;
        Ok(BlockingServer { running, runtime })
    }
}

impl RunningServer {
    /// The URL that devices and browsers use.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.app.url
    }

    /// Where HTTP listens.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// Where the MQTT broker listens.
    #[must_use]
    pub fn mqtt_addr(&self) -> Option<SocketAddr> {
        self.mqtt
    }

    /// Stops: requests under way are answered, writes are on disk when this returns.
    ///
    /// # Errors
    /// [`ServerError::Store`] if the database could not be closed.
    pub async fn stop(mut self) -> Result<(), ServerError> {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        self.app.store.close().await?;
        Ok(())
    }
}

impl BlockingServer {
    /// The URL that devices and browsers use.
    #[must_use]
    pub fn url(&self) -> &str {
        self.running.url()
    }

    /// Where HTTP listens.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.running.http
    }

    /// Where the MQTT broker listens.
    #[must_use]
    pub fn mqtt_addr(&self) -> Option<SocketAddr> {
        self.running.mqtt
    }

    /// Stops; see [`RunningServer::stop`].
    ///
    /// # Errors
    /// As [`RunningServer::stop`].
    pub fn stop(self) -> Result<(), ServerError> {
        let Self { running, runtime } = self;
        let stopped = runtime.block_on(running.stop());
        runtime.shutdown_timeout(Duration::from_secs(5));
        stopped
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServerError> {
    let refused = |error: std::io::Error| ServerError::Listen {
        address,
        reason: error.to_string(),
    };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

/// Makes the data folder and takes it for this server alone.
fn prepare(data: &Path) -> Result<File, ServerError> {
    let refused = |path: &Path, reason: String| ServerError::Data {
        path: path.to_path_buf(),
        reason,
    };
    let images = data.join("images");
    std::fs::create_dir_all(&images).map_err(|error| refused(&images, error.to_string()))?;
    let path = data.join("server.lock");
    let lock = File::create(&path).map_err(|error| refused(&path, error.to_string()))?;
    lock.try_lock().map_err(|_| {
        refused(
            data,
            "another server uses it; stop that one, or give this one a folder of its own".to_owned(),
        )
    })?;
    files::clear_leftovers(&images).map_err(|error| refused(&images, error.to_string()))?;
    Ok(lock)
}

/// Refuses a folder with bundles and no database that `known`s them: a fleet that would start empty, while its devices
/// wait for a server that knows them.
fn check_whole(data: &Path, known: bool) -> Result<(), ServerError> {
    let images = data.join("images");
    let refused = |reason: String| ServerError::Data {
        path: data.to_path_buf(),
        reason,
    };
    if known {
        return Ok(());
    }
    let entries = std::fs::read_dir(&images).map_err(|error| refused(error.to_string()))?;
    let is_bundle = |path: &Path| path.extension().is_some_and(|ending| ending == "sdl");
    let count = entries
        .filter_map(Result::ok)
        .filter(|entry| is_bundle(&entry.path()))
        .count();
    if count == 0 {
        return Ok(());
    }
    Err(refused(format!(
        "its images/ holds {count} bundle(s), but {DATABASE} is missing or empty: the fleet's devices, rollouts and ledger \
         are not there. Restore {DATABASE} (with {DATABASE}-wal, where there is one) from a backup, or give the folder \
         that has it; to begin a new and empty fleet, move images/ away"
    )))
}

/// The registry that the store holds, with a timestamp of its own.
async fn take_up(config: &ServerConfig, store: &dyn Store) -> Result<Registry, ServerError> {
    check_whole(&config.data, Registry::is_known(store).await?)?;
    let (validity, now) = (config.timing.timestamp_validity_s, config.clock.now());
    let registry = Registry::open(store, &config.trust, validity, now).await?;
    restamp(&registry, store, now).await?;
    Ok(registry)
}

/// Signs the timestamp anew: one from before a restore is older than what devices have seen. Where it cannot be signed
/// (an expired root) the server starts all the same, and housekeeping tries again.
async fn restamp(registry: &Registry, store: &dyn Store, now: u64) -> Result<(), ServerError> {
    match registry.renew(now) {
        Ok(Some(mut staged)) => {
            store.commit(std::mem::take(&mut staged.changes)).await?;
            registry.adopt(staged);
        }
        Ok(None) => {}
        Err(problem) => tracing::warn!(detail = problem.detail(), "the timestamp could not be renewed"),
    }
    Ok(())
}

fn warn_of_expiries(app: &App) {
    for warning in app.expiring() {
        tracing::warn!("{warning}");
    }
}

/// The server's URL, and the `Host` values it answers to.
fn names(config: &ServerConfig, http: SocketAddr) -> Result<(String, Vec<String>), ServerError> {
    let port = http.port();
    let mut hosts = vec![
        http.to_string(),
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
    ];
    let Some(url) = &config.public_url else {
        if http.ip().is_unspecified() {
            return Err(ServerError::Setting {
                setting: "public_url",
                value: String::new(),
                reason: "the server listens on every address, so it must be told by which name devices call it",
            });
        }
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        return Ok((format!("{scheme}://{http}"), hosts));
    };
    let host = url.split_once("://").map_or(url.as_str(), |(_, host)| host);
    hosts.push(host.to_owned());
    Ok((url.clone(), hosts))
}

/// The host by which devices reach the broker: the URL's, or the address where that is its own.
fn host_of(url: &str, mqtt: SocketAddr) -> String {
    let host = url.split_once("://").map_or(url, |(_, host)| host);
    // An IPv6 address has colons of its own, and stands in brackets for it; by itself it needs none.
    let address = host.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let name = match address {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    if mqtt.ip().is_unspecified() || !mqtt.ip().is_loopback() {
        name.to_owned()
    } else {
        mqtt.ip().to_string()
    }
}

fn spawn(
    app: &Shared,
    http: TcpListener,
    mqtt: Option<TcpListener>,
    acceptor: Option<TlsAcceptor>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let limits = &app.config.limits;
    let (router, shared) = (routes::router(Arc::clone(app)), Arc::clone(app));
    let serve = move |stream, peer| listen::http(Arc::clone(&shared), router.clone(), stream, peer);
    tasks.spawn(listen::accept(
        Arc::clone(app),
        http,
        acceptor.clone(),
        limits.connections,
        serve,
    ));
    if let Some(mqtt) = mqtt {
        let shared = Arc::clone(app);
        let serve = move |stream, _| broker::serve(Arc::clone(&shared), stream);
        tasks.spawn(listen::accept(
            Arc::clone(app),
            mqtt,
            acceptor,
            limits.mqtt_connections,
            serve,
        ));
    }
    tasks.spawn(executor::run(Arc::clone(app)));
    tasks.spawn(keep_house(Arc::clone(app)));
    tasks
}

/// Renews the timestamp, forgets what is old and warns of what expires, from time to time.
async fn keep_house(app: Shared) {
    let mut warned = app.now();
    loop {
        if app.now().saturating_sub(warned) >= WARN_S {
            warned = app.now();
            warn_of_expiries(&app);
        }
        if let Err(problem) = round(&app).await {
            tracing::error!(detail = problem.detail(), "housekeeping failed");
        }
        tokio::select! {
            () = tokio::time::sleep(ROUNDS) => {}
            () = app.stopped() => return,
        }
    }
}

async fn round(app: &App) -> Result<(), crate::problem::Problem> {
    let now = app.now();
    if app.registry.needs_timestamp(now) {
        let _alone = app.operations.lock().await;
        if let Some(mut staged) = app.registry.renew(now)? {
            app.store.commit(std::mem::take(&mut staged.changes)).await?;
            app.registry.adopt(staged);
        }
    }
    let telemetry_before = now.saturating_sub(app.config.timing.telemetry_days.saturating_mul(86_400));
    let replies_before = now.saturating_sub(REPLIES_S);
    let prune = Change::Prune {
        telemetry_before,
        replies_before,
        tokens_before: replies_before,
    };
    app.store.commit(vec![prune]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_is_where_the_url_says() {
        let everywhere: SocketAddr = ([0, 0, 0, 0], 1883).into();
        for (url, host) in [
            ("https://fleet.example", "fleet.example"),
            ("https://fleet.example:8443", "fleet.example"),
            ("https://[2001:db8::1]", "2001:db8::1"),
            ("https://[2001:db8::1]:8443", "2001:db8::1"),
        ] {
            assert_eq!(host_of(url, everywhere), host);
        }
        assert_eq!(
            host_of("https://fleet.example", ([127, 0, 0, 1], 1883).into()),
            "127.0.0.1"
        );
    }
}
