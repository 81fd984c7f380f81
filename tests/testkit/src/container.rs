//! Servers in containers, where a run asks for them by `MILLSTREAM_CONTAINERS`: official images, or what
//! `MILLSTREAM_MYSQL_IMAGE` and `MILLSTREAM_MARIADB_IMAGE` name.
//!
//! Every container bears the label `org.millstream.test-run` with the variable's value, so that whoever started the run
//! can remove what a killed test left.

use std::env;

#[cfg(feature = "containers")]
pub(crate) use engine::{Container, endpoint};
#[cfg(not(feature = "containers"))]
pub(crate) use without::{Container, endpoint};

/// Set to a name of the run; servers are containers then.
const RUN_VARIABLE: &str = "MILLSTREAM_CONTAINERS";

/// Whether servers are to be containers.
pub(crate) fn are_wanted() -> bool {
    env::var(RUN_VARIABLE).is_ok_and(|run| !run.is_empty())
}

#[cfg(feature = "containers")]
mod engine {
    use std::env;
    use std::time::Duration;

    use testcontainers::core::IntoContainerPort;
    use testcontainers::runners::AsyncRunner;
    use testcontainers::{ContainerAsync, GenericImage, ImageExt, TestcontainersError};
    use tokio::time::{Instant, sleep};

    use super::RUN_VARIABLE;
    use crate::endpoint::Endpoint;
    use crate::error::Error;
    use crate::options::ServerOptions;
    use crate::prefix::Flavor;
    use crate::server::{READY_POLL, START_TIMEOUT, answers, free_port, random_server_id};

    const LABEL: &str = "org.millstream.test-run";
    const PORT: u16 = 3306;

    /// A running container, removed when this is dropped.
    #[derive(Debug)]
    pub(crate) struct Container {
        inner: ContainerAsync<GenericImage>,
        image: String,
    }

    /// The image to run.
    fn image(flavor: Flavor) -> String {
        let (variable, official) = match flavor {
            Flavor::MySql => ("MILLSTREAM_MYSQL_IMAGE", "mysql:9"),
            Flavor::MariaDb => ("MILLSTREAM_MARIADB_IMAGE", "mariadb:11"),
        };
        env::var(variable).ok().filter(|image| !image.is_empty()).unwrap_or_else(|| official.to_owned())
    }

    fn failed(what: &'static str, image: &str) -> impl FnOnce(TestcontainersError) -> Error {
        let image = image.to_owned();
        move |source| Error::Container { what, image, source }
    }

    impl Container {
        /// Starts a server and waits until it answers.
        pub(crate) async fn start(flavor: Flavor, options: &ServerOptions) -> Result<(Self, Endpoint), Error> {
            let image = image(flavor);
            // A registry may have a port: only a colon in the last part begins a tag.
            let (name, tag) = match image.rsplit_once(':') {
                Some((name, tag)) if !tag.contains('/') => (name, tag),
                _ => (image.as_str(), "latest"),
            };
            // The same port after a restart, which an engine's own choice wouldn't be.
            let port = free_port()?;
            let request = GenericImage::new(name, tag)
                .with_mapped_port(port, PORT.tcp())
                .with_cmd(options.container_arguments(random_server_id()))
                .with_env_var("MYSQL_ALLOW_EMPTY_PASSWORD", "yes")
                .with_label(LABEL, env::var(RUN_VARIABLE).unwrap_or_default())
                .with_startup_timeout(START_TIMEOUT);
            let inner = request.start().await.map_err(failed("start", &image))?;
            let container = Self { inner, image };
            Ok((container, endpoint(flavor, port).await?))
        }

        /// Stops the server, with SIGKILL after this time.
        pub(crate) async fn stop(&self, at_most: Duration) -> Result<(), Error> {
            let seconds = i32::try_from(at_most.as_secs()).unwrap_or(i32::MAX);
            self.inner.stop_with_timeout(Some(seconds)).await.map_err(failed("stop", &self.image))
        }

        /// Starts the server again on the same data and port.
        pub(crate) async fn start_again(&self, before: &Endpoint) -> Result<(), Error> {
            self.inner.start().await.map_err(failed("restart", &self.image))?;
            endpoint(before.flavor, before.port).await.map(drop)
        }

        /// Leaves the container running when this process ends.
        pub(crate) fn keep(self) {
            std::mem::forget(self);
        }
    }

    /// The way to a server in a container, once it answers.
    pub(crate) async fn endpoint(flavor: Flavor, port: u16) -> Result<Endpoint, Error> {
        let mut endpoint = Endpoint { flavor, version: String::new(), socket: None, port };
        let deadline = Instant::now() + START_TIMEOUT;
        while !answers(&endpoint).await {
            if Instant::now() >= deadline {
                let log = format!("(see docker logs of the container with port {port})");
                return Err(Error::NotReady { flavor: flavor.name(), seconds: START_TIMEOUT.as_secs(), log });
            }
            sleep(READY_POLL).await;
        }
        endpoint.version = endpoint.value("SELECT VERSION()").await?.unwrap_or_default();
        Ok(endpoint)
    }
}

#[cfg(not(feature = "containers"))]
mod without {
    use std::convert::Infallible;
    use std::future::{Ready, ready};
    use std::time::Duration;

    use crate::endpoint::Endpoint;
    use crate::error::Error;
    use crate::options::ServerOptions;
    use crate::prefix::Flavor;

    /// None can be had.
    #[derive(Debug)]
    pub(crate) struct Container(Infallible);

    impl Container {
        pub(crate) fn start(_: Flavor, _: &ServerOptions) -> Ready<Result<(Self, Endpoint), Error>> {
            ready(Err(Error::NoContainers))
        }

        pub(crate) fn stop(&self, _: Duration) -> Ready<Result<(), Error>> {
            match self.0 {}
        }

        pub(crate) fn start_again(&self, _: &Endpoint) -> Ready<Result<(), Error>> {
            match self.0 {}
        }

        pub(crate) fn keep(self) {
            match self.0 {}
        }
    }

    pub(crate) fn endpoint(_: Flavor, _: u16) -> Ready<Result<Endpoint, Error>> {
        ready(Err(Error::NoContainers))
    }
}
