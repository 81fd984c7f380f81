//! A server for a test, and tiberius connected to it.

use millstream_sqlserver_sim::{Options, SqlServerSim};
use tiberius::{AuthMethod, Client, Config, EncryptionLevel};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

pub type Tiberius = Client<Compat<TcpStream>>;

pub fn start() -> SqlServerSim {
    SqlServerSim::start(&Options::default()).unwrap()
}

/// How `sa` connects, without a look at the certificate.
pub fn config(sim: &SqlServerSim) -> Config {
    let mut config = wary_config(sim);
    config.trust_cert();
    config
}

/// How `sa` connects where the certificate must be one that the client trusts.
pub fn wary_config(sim: &SqlServerSim) -> Config {
    let mut config = Config::new();
    config.host("127.0.0.1");
    config.port(sim.address().port());
    config.authentication(AuthMethod::sql_server("sa", Options::default().password));
    config.encryption(EncryptionLevel::Required);
    config
}

pub async fn connect_with(config: Config) -> tiberius::Result<Tiberius> {
    let tcp = TcpStream::connect(config.get_addr()).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    Box::pin(Client::connect(config, tcp.compat_write())).await
}

pub async fn connect(sim: &SqlServerSim) -> Tiberius {
    connect_with(config(sim)).await.unwrap()
}
