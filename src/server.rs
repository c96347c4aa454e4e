//! The HTTP listener: binds, configures each connection, dresses every answer, and hands out a handle to stop it.
//! Knows nothing of routes and owns no dependency of theirs.

use std::any::Any;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle, Service};
use actix_web::error::InternalError;
use actix_web::http::uri::{PathAndQuery, Uri};
use actix_web::http::{KeepAlive, Method, StatusCode};
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpServer, ResponseError, dev::ServiceRequest, web};
use futures_util::future::{Either, ready};
use pipecast_http::{Code, Problem, witness};
use socket2::{SockRef, TcpKeepalive};
use tracing::warn;

use crate::config;

mod cors;
mod headers;
pub mod panics;

/// Longest path and query, in bytes: what most proxies pass on.
const LONGEST_ADDRESS: usize = 8 << 10;

/// A listener that is bound and not yet served.
pub struct Bound {
    /// Where it listens; the real port where port 0 was asked for.
    pub address: SocketAddr,
    /// Stops it.
    pub handle: ServerHandle,
    /// Serves while it is polled.
    pub server: Server,
}

/// Binds the listener at `address`. The kernel ends a connection whose peer has taken none of the bytes that wait for it for `stall`: a
/// response body is not polled while the peer takes nothing, so nobody else could. Connections are accepted from now on and served as soon as `server` is polled.
///
/// # Errors
/// Where the address cannot be had.
pub fn bind(
    settings: &config::Server,
    address: SocketAddr,
    stall: Duration,
    routes: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> std::io::Result<Bound> {
    let max_head = usize::try_from(settings.max_head).unwrap_or(usize::MAX);
    let (origins, is_behind_tls) = (settings.cors_origins.clone(), settings.is_behind_tls());
    let app = move || {
        App::new()
            .wrap(cors::pages_of(&origins))
            .wrap_fn(move |mut request, service| {
                let answering = match check_head(&request, max_head) {
                    Ok(()) => {
                        trim_trailing_slash(&mut request);
                        answer_head_like_get(&mut request);
                        panics::catch(|| service.call(request)).map(Either::Left)
                    }
                    Err(problem) => Ok(Either::Right(ready(Ok(request.into_response(problem.error_response()).map_into_right_body())))),
                };
                async move {
                    let answered = match answering {
                        Ok(answering) => panics::catch_all(answering).await,
                        Err(problem) => Err(problem),
                    };
                    let mut response = answered.map_err(|problem| fallen(&problem, is_behind_tls))??;
                    witness::look_at(&response);
                    // A socket is no answer that a browser could do anything with.
                    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                        headers::dress(response.headers_mut(), is_behind_tls);
                    }
                    Ok(response)
                }
            })
            .configure(routes.clone())
    };
    let mut server = HttpServer::new(app)
        .disable_signals()
        .backlog(settings.backlog)
        .max_connections(settings.connections_per_worker)
        .client_request_timeout(settings.header_timeout)
        .client_disconnect_timeout(Duration::from_secs(1))
        .keep_alive(KeepAlive::Timeout(settings.keep_alive))
        .tcp_nodelay(true)
        .shutdown_timeout(settings.drain_deadline.as_secs())
        .on_connect(move |connection, _| watch_over(connection, stall));
    if settings.workers > 0 {
        server = server.workers(settings.workers);
    }
    let server = server.bind(address)?;
    let address = server.addrs().into_iter().next().unwrap_or(address);
    let server = server.run();
    Ok(Bound {
        address,
        handle: server.handle(),
        server,
    })
}

/// The answer where the request went down with its handler, so that nobody else is left to dress it.
fn fallen(problem: &Problem, is_behind_tls: bool) -> actix_web::Error {
    let mut response = problem.error_response();
    headers::dress(response.headers_mut(), is_behind_tls);
    InternalError::from_response("a panic", response).into()
}

/// That a request begins within the limits. The library reads at most 128 KiB and 96 headers and answers what has more with a bare 431, before
/// anybody of ours sees it.
///
/// # Errors
/// `address_too_long`, `head_too_large`.
fn check_head(request: &ServiceRequest, most: usize) -> Result<(), Problem> {
    let address = request.uri().path_and_query().map_or(0, |address| address.as_str().len());
    if address > LONGEST_ADDRESS {
        return Err(Problem::new(Code::AddressTooLong).detail(format!("path and query have at most {LONGEST_ADDRESS} bytes")));
    }
    let lines = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    if address + lines.sum::<usize>() > most {
        return Err(Problem::new(Code::HeadTooLarge).detail(format!("line and headers have at most {most} bytes together")));
    }
    Ok(())
}

/// Lets the kernel end connections whose peer is gone or takes nothing.
fn watch_over(connection: &dyn Any, stall: Duration) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10));
    let done = socket.set_tcp_user_timeout(Some(stall)).and_then(|()| socket.set_tcp_keepalive(&probes));
    if let Err(error) = done {
        warn!(%error, "cannot set the timeouts of a connection: {error}");
    }
}

/// HEAD is answered like GET, without the body: the connection knows by itself that it was asked for no body. Sockets and streams
/// have no end to wait for, so there it stays refused.
fn answer_head_like_get(request: &mut ServiceRequest) {
    let endless = ["/ws", "/sse"].iter().any(|prefix| request.path().starts_with(prefix));
    if request.method() == Method::HEAD && !endless {
        request.head_mut().method = Method::GET;
    }
}

/// A path with a slash at its end answers like the path without it. Paths without one, which is nearly all, cost nothing.
fn trim_trailing_slash(request: &mut ServiceRequest) {
    let path = request.path();
    let trimmed = path.trim_end_matches('/');
    if trimmed.len() == path.len() || trimmed.is_empty() {
        return;
    }
    let path_and_query = match request.query_string() {
        "" => trimmed.to_owned(),
        query => format!("{trimmed}?{query}"),
    };
    let mut parts = request.uri().clone().into_parts();
    if let Ok(path_and_query) = path_and_query.parse::<PathAndQuery>() {
        parts.path_and_query = Some(path_and_query);
        if let Ok(uri) = Uri::from_parts(parts) {
            request.match_info_mut().get_mut().update(&uri);
            request.head_mut().uri = uri;
        }
    }
}
