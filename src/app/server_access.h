// server_access: which running server a command asks, and how. Thread: any.
#pragma once

#include "app/settings/settings.h"
#include "hub/server.h"

namespace pippin::app {

/// Returns the server of --server, else the one that `serve` would be with the same host, port and
/// certificate; with the key of PIPPIN_API_KEY. Errors: kInvalidArgument, a port that is chosen at
/// the start; kNotFound, a file of certificates that is not there.
Result<hub::ServerAccess> server_access(const Settings& settings);

}  // namespace pippin::app
