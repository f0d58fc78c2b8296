// The client of a running server: which one the settings mean, and what commands ask of it.
// Thread: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/settings/settings.h"
#include "base/result.h"

namespace pippin::app {

struct ServerModel {
  std::string id, architecture;
  uint64_t context_tokens = 0;
  std::string state;          // "loaded", "unloaded", ...; empty: the server does not say
  uint64_t memory_bytes = 0;  // that it takes now
  uint64_t weights_bytes = 0, kv_bytes = 0;
  uint64_t running = 0, waiting = 0;
  std::optional<double> expires_in_s;  // until it is unloaded
};

struct ServerStatus {
  bool ready = false;
  std::string reason;  // why it is not ready
  std::string version;
  uint64_t pid = 0;  // 0: it does not say
  double uptime_s = 0;
  uint64_t resident_bytes = 0;
  std::vector<ServerModel> models;
};

/// Where a server is and how it is asked.
struct ServerAccess {
  std::string url;     // "http://127.0.0.1:8000", without a slash at its end
  std::string key;     // a bearer, where it wants one; empty: none
  std::string cacert;  // PEM file by which an https server is trusted; empty: the system's
};

/// Returns the server of --server, else the one that `serve` would be with the same host, port and
/// certificate; with the key of PIPPIN_API_KEY. Errors: kInvalidArgument, a port that is chosen at
/// the start; kNotFound, a file of certificates that is not there.
Result<ServerAccess> server_access(const Settings& settings);

/// Asks GET /v1/status of a server. Errors: kUnavailable when none runs there; kTimeout when it
/// does not go on; kPermissionDenied when its certificate is not trusted, or the key may not ask;
/// kUnauthenticated; kInvalidFile when it is no pippin.
Result<ServerStatus> ask_server(const ServerAccess& server);

/// Asks POST /models/unload of a server. Errors: of ask_server(); kNotFound, and what else the
/// server says.
Result<void> ask_to_unload(const ServerAccess& server, const std::string& model);

}  // namespace pippin::app
