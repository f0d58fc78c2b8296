// Request checks without a socket: Host against DNS rebinding, origins of web pages (CORS), keys,
// request ids.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pippin::http {

/// Returns whether a Host header names this server: an IP address, localhost or a name under it,
/// host.docker.internal, this machine's own name, `bound`, or one of `allowed` ("*": any). A page
/// that rebinds its own name to our address still sends that name: addresses are safe, unknown
/// names are not.
bool host_allowed(std::string_view host_header, std::string_view bound,
                  const std::vector<std::string>& allowed);

/// Returns whether an Origin header matches one of `allowed`: "*", an exact origin, or
/// "scheme://host:*" for any port.
bool origin_allowed(std::string_view origin, const std::vector<std::string>& allowed);

/// Returns whether `origin` is a web page's (http, https, or the opaque "null"), not an installed
/// application's.
bool is_web_origin(std::string_view origin);

/// Returns whether `origin` is the page of this very server, as its Host header names it.
bool same_origin(std::string_view origin, std::string_view host_header);

/// Returns whether a client's x-request-id can be echoed and logged: 1 to 128 of
/// [A-Za-z0-9._:/+=-].
bool request_id_is_sane(std::string_view id);

/// Returns the keys that a request presents: as a Bearer token, in x-api-key and in api-key. Names
/// are in lower case.
std::vector<std::string_view> presented_keys(
    const std::vector<std::pair<std::string, std::string>>& headers);

/// Returns whether a path only tells the server's state. It skips the workers' queue, and is logged
/// at debug level.
bool is_probe(std::string_view path);

/// Returns a fresh request id: "req-" and 24 random hex digits.
std::string make_request_id();

}  // namespace pippin::http
