//! Servers in containers, where a run asks for them by `MILLSTREAM_CONTAINERS`.
//!
//! Every container bears the label `org.millstream.test-run` with the variable's value, so that whoever started the run
//! can remove what a killed test left.

use std::env;

#[cfg(feature = "containers")]
pub use engine::Container;
#[cfg(not(feature = "containers"))]
pub use without::Container;

/// Set to a name of the run; servers are containers then.
const RUN_VARIABLE: &str = "MILLSTREAM_CONTAINERS";

/// What to run in a container.
#[derive(Clone, Debug)]
pub struct ContainerRequest {
    /// The image, with its tag or without.
    pub image: String,
    /// The port that the server listens on in its container.
    pub port: u16,
    /// Variables of its environment.
    pub environment: Vec<(&'static str, String)>,
    /// Arguments for the image's entry point.
    pub arguments: Vec<String>,
}

/// Whether servers are to be containers in this run.
pub fn containers_are_wanted() -> bool {
    env::var(RUN_VARIABLE).is_ok_and(|run| !run.is_empty())
}

/// The image that a variable of the environment names, or the one that is used otherwise.
pub fn image(variable: &str, otherwise: &str) -> String {
    env::var(variable).ok().filter(|image| !image.is_empty()).unwrap_or_else(|| otherwise.to_owned())
}

#[cfg(feature = "containers")]
mod engine {
    use std::env;
    use std::time::Duration;

    use testcontainers::core::IntoContainerPort;
    use testcontainers::runners::AsyncRunner;
    use testcontainers::{ContainerAsync, GenericImage, ImageExt, TestcontainersError};

    use super::{ContainerRequest, RUN_VARIABLE};
    use crate::error::Error;
    use crate::port::free_port;
    use crate::run::Held;

    const LABEL: &str = "org.millstream.test-run";
    /// How long the engine may take for a container, once it has the image.
    const START_TIMEOUT: Duration = Duration::from_secs(90);

    /// A running container, removed when this is dropped.
    #[derive(Debug)]
    pub struct Container {
        inner: ContainerAsync<GenericImage>,
        image: String,
        port: u16,
    }

    fn failed(what: &'static str, image: &str) -> impl FnOnce(TestcontainersError) -> Error {
        let image = image.to_owned();
        move |source| Error::Container { what, image, source: Box::new(source) }
    }

    impl Container {
        /// Starts a container. Its server may take a while longer until it answers.
        pub async fn start(request: &ContainerRequest) -> Result<Self, Error> {
            let image = request.image.clone();
            // A registry may have a port: only a colon in the last part begins a tag.
            let (name, tag) = match image.rsplit_once(':') {
                Some((name, tag)) if !tag.contains('/') => (name, tag),
                _ => (image.as_str(), "latest"),
            };
            // The same port after a restart, which an engine's own choice wouldn't be.
            let port = free_port()?;
            let mut wanted = GenericImage::new(name, tag)
                .with_mapped_port(port, request.port.tcp())
                .with_cmd(request.arguments.clone())
                .with_label(LABEL, env::var(RUN_VARIABLE).unwrap_or_default())
                .with_startup_timeout(START_TIMEOUT);
            for (variable, value) in &request.environment {
                wanted = wanted.with_env_var(*variable, value);
            }
            let inner = wanted.start().await.map_err(failed("start", &image))?;
            Ok(Self { inner, image, port })
        }

        /// The port of a container that all tests of this run share; the first that asks starts it. Tests that give
        /// the same name get the same container, so they must ask for the same.
        ///
        /// It isn't removed with the process that starts it: whoever started the run removes the containers that bear
        /// its label.
        pub async fn shared(name: &str, request: &ContainerRequest) -> Result<u16, Error> {
            let held = Held::take(name).await?;
            if let Some(port) = held.port() {
                return Ok(port);
            }
            let container = Self::start(request).await?;
            let port = container.port;
            std::mem::forget(container);
            held.note_port(port)?;
            Ok(port)
        }

        /// The port on 127.0.0.1, the same after a restart.
        pub fn port(&self) -> u16 {
            self.port
        }

        /// Stops the server, with SIGKILL after this time.
        pub async fn stop(&self, at_most: Duration) -> Result<(), Error> {
            let seconds = i32::try_from(at_most.as_secs()).unwrap_or(i32::MAX);
            self.inner.stop_with_timeout(Some(seconds)).await.map_err(failed("stop", &self.image))
        }

        /// Starts the server again on the same data and port.
        pub async fn start_again(&self) -> Result<(), Error> {
            self.inner.start().await.map_err(failed("restart", &self.image))
        }
    }
}

#[cfg(not(feature = "containers"))]
mod without {
    use std::convert::Infallible;
    use std::future::{Ready, ready};
    use std::time::Duration;

    use super::ContainerRequest;
    use crate::error::Error;

    /// None can be had: the test kit was built without its feature `containers`.
    #[derive(Debug)]
    pub struct Container(Infallible);

    impl Container {
        /// Fails.
        pub fn start(_: &ContainerRequest) -> Ready<Result<Self, Error>> {
            ready(Err(Error::NoContainers))
        }

        /// Fails.
        pub fn shared(_: &str, _: &ContainerRequest) -> Ready<Result<u16, Error>> {
            ready(Err(Error::NoContainers))
        }

        /// The port on 127.0.0.1.
        pub fn port(&self) -> u16 {
            match self.0 {}
        }

        /// Stops the server.
        pub fn stop(&self, _: Duration) -> Ready<Result<(), Error>> {
            match self.0 {}
        }

        /// Starts the server again.
        pub fn start_again(&self) -> Ready<Result<(), Error>> {
            match self.0 {}
        }
    }
}
