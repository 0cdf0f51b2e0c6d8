//! How QUIC is set up: windows, time-outs, certificates, the UDP socket. No 0-RTT, no tickets, no datagrams, no
//! migration, and none of quinn's own ways to make a configuration, which would switch some of them on.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use keys::tls::{Shown, Trust, dialer, listener};
use proto::{NodeId, limits};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt};
use rustls::pki_types::ServerName;
use socket2::{Domain, Protocol, Socket, Type};

use crate::StartError;
use crate::clock::duration;

/// What both ends of a link use.
pub(crate) fn transport() -> TransportConfig {
    let mut config = TransportConfig::default();
    config.max_concurrent_bidi_streams(VarInt::from_u32(1));
    config.max_concurrent_uni_streams(VarInt::from_u32(limits::UNI_STREAMS_MAX));
    config.stream_receive_window(VarInt::from_u32(limits::STREAM_WINDOW_BYTES));
    config.receive_window(VarInt::from_u32(limits::LINK_WINDOW_BYTES));
    config.send_window(limits::SEND_WINDOW_BYTES);
    config.datagram_receive_buffer_size(None);
    config.max_idle_timeout(IdleTimeout::try_from(duration(limits::LINK_IDLE)).ok());
    config.keep_alive_interval(Some(duration(limits::LINK_KEEPALIVE)));
    config
}

/// Whom a listener lets in, and what it shows them.
pub(crate) fn server(shown: &Shown, trust: Trust, transport: Arc<TransportConfig>) -> Result<ServerConfig, StartError> {
    let tls = QuicServerConfig::try_from(listener(shown, trust)?);
    let mut config = ServerConfig::with_crypto(Arc::new(tls.map_err(|_| StartError::NoInitialCipher)?));
    config.transport_config(transport);
    config.migration(false);
    config.max_incoming(limits::INCOMING_MAX);
    Ok(config)
}

/// How somebody is dialed. Nobody but whom `tls` means can answer.
pub(crate) fn client(tls: rustls::ClientConfig, transport: Arc<TransportConfig>) -> Result<ClientConfig, StartError> {
    let tls = QuicClientConfig::try_from(tls);
    let mut config = ClientConfig::new(Arc::new(tls.map_err(|_| StartError::NoInitialCipher)?));
    config.transport_config(transport);
    Ok(config)
}

/// One handshake with ourselves, in memory: the first one in a process takes many times as long as all later ones.
pub(crate) fn warm_up(shown: &Shown, us: NodeId) -> Result<(), rustls::Error> {
    const FLIGHTS: usize = 4;
    let name = ServerName::try_from("node.invalid").map_err(|_| rustls::Error::General("a name".into()))?;
    let mut client = rustls::ClientConnection::new(Arc::new(dialer(shown, us)?), name)?;
    let mut server = rustls::ServerConnection::new(Arc::new(listener(shown, Trust::Pinned(BTreeSet::from([us])))?))?;
    let failed = |error: io::Error| rustls::Error::General(error.to_string());
    for _ in 0..FLIGHTS {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).map_err(failed)?;
        }
        server.read_tls(&mut bytes.as_slice()).map_err(failed)?;
        server.process_new_packets()?;
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).map_err(failed)?;
        }
        client.read_tls(&mut bytes.as_slice()).map_err(failed)?;
        client.process_new_packets()?;
    }
    Ok(())
}

/// The UDP socket with buffers as large as the system lets us have, and the endpoint over it.
pub(crate) fn endpoint(address: SocketAddr, server: Option<ServerConfig>) -> Result<quinn::Endpoint, StartError> {
    let opened = udp_socket(address).and_then(|socket| endpoint_on(socket, server));
    opened.map_err(|source| {
        let is_taken = source.kind() == io::ErrorKind::AddrInUse;
        if is_taken { StartError::PortInUse { address } } else { StartError::Listen { address, source } }
    })
}

/// The endpoint over a socket that is bound already.
pub(crate) fn endpoint_on(socket: UdpSocket, server: Option<ServerConfig>) -> io::Result<quinn::Endpoint> {
    let options = socket2::SockRef::from(&socket);
    let wanted = limits::UDP_BUFFER_BYTES;
    // Whoever passed the socket may have had the right to make them larger than we may.
    let is_small = |size: io::Result<usize>| size.is_ok_and(|size| size < wanted);
    let receive = is_small(options.recv_buffer_size()).then(|| options.set_recv_buffer_size(wanted));
    let send = is_small(options.send_buffer_size()).then(|| options.set_send_buffer_size(wanted));
    for (what, set) in [("receive", receive), ("send", send)] {
        if let Some(Err(error)) = set {
            tracing::debug!(what, %error, "a UDP buffer stays as it was");
        }
    }
    socket.set_nonblocking(true)?;
    quinn::Endpoint::new(EndpointConfig::default(), server, socket, Arc::new(quinn::TokioRuntime))
}

fn udp_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // Best effort: [::] then takes IPv4 too.
        drop(socket.set_only_v6(false));
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}
